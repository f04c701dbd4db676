"""What can be wrong with a sealed file, as one tree under `SealError`.

SealError
├── KeyTextError            a recipient or identity text is malformed
├── ArmorError              the text envelope around a sealed file is malformed
├── HeaderError             the header does not follow the format
│   └── TornHeaderError     ... because the file ends inside it (also a TornFileError)
├── HeaderMacError          the header was altered: its MAC is not the file key's
├── NoMatchError            none of the identities opens this file
└── PayloadError            a chunk was altered, reordered, or bytes follow the end
    └── TornFileError       the file ends before its final chunk: what was read is genuine, the rest is missing
"""

from agent.contract.errors import SealError


class KeyTextError(SealError):
    """A recipient or identity text is malformed."""


class ArmorError(SealError):
    """The text envelope (`-----BEGIN AGE ENCRYPTED FILE-----`) is malformed."""


class HeaderError(SealError):
    """The header does not follow the format."""


class HeaderMacError(SealError):
    """The header's MAC does not fit its file key: somebody altered the header."""


class NoMatchError(SealError):
    """None of the identities opens this file."""


class PayloadError(SealError):
    """A chunk was altered or reordered, or bytes follow the final chunk."""


class TornFileError(PayloadError):
    """The file ends before its final chunk (a cut of power, a file still being written).

    Every byte handed out before is genuine and in order. A change inside the last chunk cannot be told from a cut.
    """


class TornHeaderError(HeaderError, TornFileError):
    """The file ends inside its header or before its payload nonce: nothing of it can be opened."""
