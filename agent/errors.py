"""Every error the pole can name, as one tree.

    PoleAgentError
    ├── ConfigError (ValueError)        the configuration file is wrong; lists every mistake at once
    ├── ContractError (ValueError)      a message, record or file does not follow docs/contract
    ├── SourceError (OSError)           a camera source cannot be opened or stopped delivering
    │   └── SoundRefusedError           sound would have reached the recorder
    ├── SealError (ValueError)          a segment cannot be sealed or opened
    │   └── NoRecipientError            no valid recipient: recording must stop (fail closed)
    ├── SpoolError (OSError)            the spool cannot be read or written
    │   └── SpoolFullError              no room and nothing that may be removed
    ├── LinkError (ConnectionError)     the center cannot be reached
    │   └── LinkRefusedError            it was reached and refused us (certificate, identity, recipient)
    └── HardwareError (OSError)         a GPIO line, light or sensor cannot be used

Rules: the text is lower case, names the thing and the next step; `fault` is the code from
`agent.contract.faults` that the heartbeat carries while the error stands.
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


class SourceError(PoleAgentError, OSError):
    """A camera source cannot be opened or stopped delivering frames."""

    fault: ClassVar[str] = "camera-source-lost"


class SoundRefusedError(SourceError):
    """Sound would have reached the recorder; the service stops instead (PIPA 25(5), R-AUDIO)."""

    fault: ClassVar[str] = "sound-refused"


class NoRecipientError(SealError):
    """No valid recipient: nothing is recorded until there is one (DESIGN decision 3)."""

    fault: ClassVar[str] = "recipient-missing"


class SpoolError(PoleAgentError, OSError):
    """The spool cannot be read or written."""

    fault: ClassVar[str] = "spool-unwritable"


class SpoolFullError(SpoolError):
    """The disk is full and no segment may be removed."""

    fault: ClassVar[str] = "spool-full"


class LinkError(PoleAgentError, ConnectionError):
    """The center cannot be reached over the dedicated link."""

    fault: ClassVar[str] = "link-down"


class LinkRefusedError(LinkError):
    """The center was reached and refused this pole (certificate, identity, unknown recipient)."""

    fault: ClassVar[str] = "link-refused"


class HardwareError(PoleAgentError, OSError):
    """A GPIO line, light or sensor cannot be used."""

    fault: ClassVar[str] = "hardware-unusable"
