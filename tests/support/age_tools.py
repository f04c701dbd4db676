"""Other people's age: the command-line tool and pyrage, to prove that our files are not only ours."""

import io
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pyrage
import pytest

from agent.contract.age_format import AgeWriter, Recipient, open_age, parse_identity, parse_recipient

needs_age = pytest.mark.skipif(shutil.which("age") is None, reason="the age command-line tool is not installed")


def seal(clear: bytes, *recipients: str, pieces: Iterable[int] = ()) -> bytes:
    """Seal with our writer; `pieces` are the sizes of the first write() calls, the rest goes in one."""
    sealed = bytearray()
    writer = AgeWriter(sealed.extend, parse_recipients(recipients))
    start = 0
    for size in pieces:
        start += writer.write(clear[start : start + size])
    writer.write(clear[start:])
    writer.close()
    return bytes(sealed)


def parse_recipients(texts: Iterable[str]) -> list[Recipient]:
    """Parse several recipients."""
    return [parse_recipient(text) for text in texts]


def unseal(sealed: bytes, identity: str) -> bytes:
    """Open with our reader, to the true end."""
    return open_age(io.BytesIO(sealed), [parse_identity(identity)]).read()


def age_seal(clear: bytes, recipient: str) -> bytes:
    """Seal with the age tool."""
    return subprocess.run(["age", "-r", recipient], input=clear, capture_output=True, check=True).stdout


def age_unseal(directory: Path) -> Callable[[bytes, str], bytes]:
    """Return a function that opens with the age tool; key files go to `directory`."""

    def unseal_with_age(sealed: bytes, identity: str) -> bytes:
        key_file = directory / "identity.txt"
        key_file.write_text(f"{identity}\n", encoding="ascii")
        command = ["age", "--decrypt", "-i", str(key_file)]
        return subprocess.run(command, input=sealed, capture_output=True, check=True).stdout

    return unseal_with_age


def pyrage_seal(clear: bytes, recipient: str) -> bytes:
    """Seal with pyrage (the Rust age)."""
    return pyrage.encrypt(clear, [pyrage.x25519.Recipient.from_str(recipient)])


def pyrage_unseal(sealed: bytes, identity: str) -> bytes:
    """Open with pyrage."""
    return pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(identity)])
