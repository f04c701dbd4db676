"""What can go wrong on the pole's side of commands, beyond the command itself.

PoleAgentError
├── CommandStoreError (OSError)     the journal or the key sets cannot be read or written: nothing is obeyed
└── CommandFailedError              the pole obeyed and it did not work; the text goes back to the officer
"""

from typing import ClassVar

from agent.contract.errors import PoleAgentError


class CommandStoreError(PoleAgentError, OSError):
    """The journal or the key sets cannot be read or written."""

    fault: ClassVar[str] = "command-journal-unwritable"


class CommandFailedError(PoleAgentError):
    """An operation was allowed and begun, and did not succeed."""
