"""What the encoder is asked for, known to the sources that may need it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Encoding:
    """How video that is not H.264/H.265 is encoded: bit rate, and at most `gop_s` between keyframes."""

    bitrate_kbps: int = 4000
    gop_s: float = 2.0
