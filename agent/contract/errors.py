"""Errors shared by pole and center; the whole tree is drawn in `agent.errors`."""

from typing import ClassVar


class PoleAgentError(Exception):
    """Base of every error we raise on purpose; `fault` is its code in `agent.contract.faults`."""

    fault: ClassVar[str] = "internal"


class ContractError(PoleAgentError, ValueError):
    """A message, record or file does not follow docs/contract; the sender's copy goes to quarantine."""

    fault: ClassVar[str] = "message-invalid"


class SealError(PoleAgentError, ValueError):
    """A segment cannot be sealed or opened."""

    fault: ClassVar[str] = "seal-failed"
