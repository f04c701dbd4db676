"""The pole's command keys on disk: the set pinned at flash time, and the signed sets that followed it.

    <pinned file>                      a signed note, read only, part of the image
    <directory>/<serial>.note          each later set, as it came

Rules:
* trust begins at the pinned file and walks up through the later sets, each verified by the one before: a file put into
  the state directory by anybody but the roots is passed over and named in `damaged`, never obeyed;
* install: verify, write, fsync file, rename, fsync directory, then use;
* no pinned file means no command keys: every command is refused, and that is a legal way to run a pole.
"""

import os
from pathlib import Path

from agent.contract.errors import ContractError
from agent.contract.key_set import MAX_BYTES, KeySet, first_key_set, next_key_set
from agent.mqtt.command_error import CommandStoreError


class CommandKeys:
    """The trusted set. Use it from one thread; `load` before `install`."""

    def __init__(self, pinned: Path, directory: Path) -> None:
        self._pinned = pinned
        self._directory = directory
        self.current: KeySet | None = None
        self.damaged: list[str] = []

    def load(self) -> None:
        """Read the pinned set and all that followed.

        Raises:
            ContractError: the pinned file exists and is no set signed by its own roots.
            CommandStoreError: a file cannot be read.
        """
        self.damaged = []
        self.current = None
        try:
            text = self._pinned.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        except OSError as exc:
            raise CommandStoreError(f"{self._pinned} cannot be read: {exc}; check its rights") from exc
        except UnicodeDecodeError as exc:
            raise ContractError(f"{self._pinned} is not utf-8: {exc}") from exc
        self.current = first_key_set(text)
        for file in sorted(self._directory.glob("*.note"), key=_serial):
            if _serial(file) > self.current.serial:
                self._follow(file)

    def install(self, note: bytes) -> KeySet:
        """Verify a set that came over an untrusted path, put it on disk and use it.

        Raises:
            ContractError: it does not follow the trusted set, or there is none.
            CommandStoreError: it is not on disk; the old set stays in use.
        """
        if self.current is None:
            raise ContractError("this pole has no pinned command keys; install them at the pole first")
        found = next_key_set(self.current, _text(note))
        self._write(self._directory / f"{found.serial}.note", note)
        self.current = found
        return found

    def _follow(self, file: Path) -> None:
        assert self.current is not None
        try:
            self.current = next_key_set(self.current, _text(file.read_bytes()))
        except (ContractError, OSError) as exc:
            self.damaged.append(f"{file.name}: {exc}")

    def _write(self, file: Path, data: bytes) -> None:
        temporary = file.with_name(f".{file.name}.new")
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            temporary.rename(file)
            descriptor = os.open(self._directory, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as exc:
            raise CommandStoreError(f"{file} cannot be written: {exc}; check the disk") from exc


def _text(note: bytes) -> str:
    if len(note) > MAX_BYTES:
        raise ContractError(f"command keys are longer than {MAX_BYTES} bytes")
    try:
        return note.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ContractError(f"command keys are not utf-8: {exc}") from exc


def _serial(file: Path) -> int:
    return int(file.stem) if file.stem.isascii() and file.stem.isdigit() else 0
