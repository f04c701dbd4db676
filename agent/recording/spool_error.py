"""Turns an error of the operating system into the pole's own: a full disk is another fault than a broken one."""

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC

from agent.errors import SpoolError, SpoolFullError


def is_full(error: OSError) -> bool:
    """Whether the error says that there is no room."""
    return error.errno in (ENOSPC, EDQUOT)


def spool_error(error: OSError, done: str = "written") -> SpoolError:
    """Return `error` as a SpoolError or SpoolFullError."""
    kind = SpoolFullError if is_full(error) else SpoolError
    return kind(f"the spool cannot be {done}: {error.strerror or error}; check the disk")


@contextmanager
def spool_errors(done: str) -> Iterator[None]:
    """Let every OSError inside become a SpoolError."""
    try:
        yield
    except SpoolError:
        raise
    except OSError as error:
        raise spool_error(error, done) from error
