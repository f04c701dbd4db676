"""Segmenting, sealing and the spool: from frames to sealed files with records."""
