"""Every error the center can name, as one tree.

    PoleAgentError
    ├── ConfigError (ValueError)        center.toml is wrong; lists every mistake at once; exit status 78
    ├── ContractError (ValueError)      a message or record does not follow docs/contract; goes to quarantine
    ├── StoreError (OSError)            the database cannot be read or written; no receipt, no beat
    │   └── ConflictError               what is stored says otherwise (another digest, a closed incident)
    ├── PkiError (ValueError)           a certificate cannot be issued or revoked
    └── SealError (ValueError)          a segment cannot be opened
        └── OpeningRefusedError         it may not be opened so (no reason, no officer, wrong digest)

Rules: the text is lower case, names the thing and the next step.
"""

from typing import ClassVar

from agent.contract.errors import ContractError as ContractError
from agent.contract.errors import PoleAgentError as PoleAgentError
from agent.contract.errors import SealError as SealError


class ConfigError(PoleAgentError, ValueError):
    """The configuration is wrong. `mistakes` holds one sentence per mistake, each starting with its key."""

    fault: ClassVar[str] = "config-invalid"

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("; ".join(mistakes))


class StoreError(PoleAgentError, OSError):
    """The center's database cannot be read or written."""

    fault: ClassVar[str] = "store-unwritable"


class ConflictError(StoreError):
    """What is stored contradicts what is asked; nothing was changed."""

    fault: ClassVar[str] = "store-conflict"


class PkiError(PoleAgentError, ValueError):
    """A key or certificate cannot be made, read or revoked."""

    fault: ClassVar[str] = "pki-failed"


class OpeningRefusedError(SealError):
    """A segment may not be opened as asked; nothing clear was written."""

    fault: ClassVar[str] = "opening-refused"
