"""The software of one camera pole: records, seals, uploads, watches the bell, reports its health."""

__version__ = "0.1.0"
