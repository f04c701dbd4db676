"""How a drill's child speaks: one line at a time, on standard output."""

import sys


def say(line: str) -> None:
    """Write one line in one piece, so that the lines of two threads do not mix."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
