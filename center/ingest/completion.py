"""From "every byte is here" to "the center holds it": the order in which nothing is ever half acknowledged.

Steps (the names are those of the crash test; each may be the last before the power goes):
1. `synced`     the partial file is fsynced; size, SHA-256 and the age header are checked;
2. `moved`      renamed to `objects/<pole>/<camera>/<day>/<segment>.mp4.age`;
3. `placed`     both directories fsynced;
4. `committed`  row and signed receipt in one commit of the store: from here the pole may be told;
5. `forgotten`  the announcement is removed.
Recovery: a partial that has its announcement and all its bytes starts again at 1; an announcement without a file
has been moved: the object's bytes are read again and it goes on at 4. Doing any step twice changes nothing.
"""

import hashlib
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from agent.contract.errors import ContractError
from agent.contract.receipt import Receipt
from agent.contract.signed_note import NoteSigner
from center.errors import StoreError
from center.ingest.announcement import read_video_record
from center.ingest.partial import SEGMENT, PartialStore, PartialUpload, make_directory, sync_directory
from center.ingest.problem import Refusal
from center.store import Store, StoredObject

log = logging.getLogger(__name__)

AGE_MAGIC = b"age-encryption.org/v1\n"

Step = Callable[[str], object]


def no_step(name: str) -> None:
    """Do nothing at a step; the crash tests end the process there."""


class Completion:
    """Finishes uploads; one of a pole at a time, so that two uploads of one segment cannot both win.

    Poles do not wait for each other: reading a segment of 1 GiB again takes seconds.
    """

    def __init__(
        self,
        store: Store,
        partials: PartialStore,
        objects_dir: Path,
        signer: NoteSigner,
        now_us: Callable[[], int],
        step: Step = no_step,
    ) -> None:
        self._store = store
        self._partials = partials
        self._objects_dir = objects_dir
        self._signer = signer
        self._now_us = now_us
        self._step = step
        self._locks: dict[str, threading.Lock] = {}  # one a pole, so as many as there are certificates

    def finish(self, upload: PartialUpload, digest: str | None = None) -> None:
        """Let the center hold the upload; `digest` is the SHA-256 of its bytes when it was computed on the way.

        Raises:
            Refusal: the bytes are not what was announced, not sealed, or another content is stored already.
            StoreError, OSError: nothing was acknowledged; calling again goes on from here.
        """
        with self._locks.setdefault(upload.pole, threading.Lock()):
            known = self._store.objects.get(upload.segment)
            if known is not None:
                self._settle(upload, known)
                return
            target = self._objects_dir / object_path(upload)
            part = self._partials.part_path(upload)
            moved = not part.exists()
            if moved and not target.exists():
                self._partials.remove(upload)
                raise Refusal("no-such-upload", f"the bytes of {upload.segment} are gone; announce it again")
            self._check(upload, target if moved else part, None if moved else digest)
            if not moved:
                self._move(part, target)
            self._commit(upload)
            self._partials.remove(upload)
            self._step("forgotten")

    def settled(self, upload: PartialUpload) -> bool:
        """Return whether the segment is stored with this digest.

        Raises:
            Refusal: it is stored with another one.
        """
        known = self._store.objects.get(upload.segment)
        if known is None:
            return False
        if (known.sha256, known.pole) != (upload.sha256, upload.pole):
            self._accuse(upload)
        return True

    def recover(self) -> int:
        """Finish what a crash left between two steps; return how many uploads are stored by it.

        What cannot be read stays as it is: its pole announces it again, and then it is told why.

        Raises:
            StoreError: the database cannot be used.
        """
        finished = 0
        for upload in self._partials.everything():
            size = self._partials.size(upload)
            try:
                if size is None and not (self._objects_dir / object_path(upload)).exists():
                    self._partials.remove(upload)
                elif size is None or size == upload.length:
                    self.finish(upload)
                    finished += 1
            except Refusal as refusal:
                log.warning("upload refused after a restart upload=%s code=%s", upload.id, refusal.code)
            except StoreError:
                raise
            except (OSError, ContractError) as exc:  # a bad sector under one upload must not keep ingest from starting
                log.error("upload not finished after a restart upload=%s reason=%s", upload.id, exc)
        return finished

    def _settle(self, upload: PartialUpload, known: StoredObject) -> None:
        self._partials.remove(upload)
        if (known.sha256, known.pole) != (upload.sha256, upload.pole):
            self._accuse(upload)

    def _accuse(self, upload: PartialUpload) -> None:
        detail = f"segment {upload.segment} is stored with another digest; the second content was refused"
        told = {"pole": upload.pole, "what": "segment-conflict", "segment": upload.segment, "sha256": upload.sha256}
        self._store.events.append("security", told, self._now_us())
        log.error("segment conflict segment=%s", upload.segment)
        raise Refusal("segment-conflict", detail)

    def _check(self, upload: PartialUpload, path: Path, digest: str | None) -> None:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            self._step("synced")
            size = os.fstat(file.fileno()).st_size
            sealed = file.read(len(AGE_MAGIC)) == AGE_MAGIC
            file.seek(0)
            found = digest or hashlib.file_digest(file, "sha256").hexdigest()
        whole = size == upload.bytes and found == upload.sha256
        if whole and sealed:
            return
        path.unlink(missing_ok=True)
        self._partials.remove(upload)
        if whole:
            raise Refusal("not-age", f"segment {upload.segment} does not begin with {AGE_MAGIC.decode().strip()}")
        raise Refusal("digest-mismatch", f"{size} bytes with SHA-256 {found} arrived for {upload.segment}; send again")

    def _move(self, part: Path, target: Path) -> None:
        make_directory(target.parent)
        part.rename(target)
        self._step("moved")
        sync_directory(target.parent)
        sync_directory(part.parent)
        self._step("placed")

    def _commit(self, upload: PartialUpload) -> None:
        record = read_video_record(upload.record.encode())
        stored_at_us = self._now_us()
        receipt = Receipt(upload.pole, upload.segment, upload.sha256, upload.bytes, stored_at_us)
        self._store.objects.add(
            StoredObject(
                segment=upload.segment,
                pole=upload.pole,
                camera=record.camera,
                start_us=record.start_us,
                end_us=record.end_us,
                bytes=upload.bytes,
                sha256=upload.sha256,
                recipient=record.recipient,
                path=object_path(upload),
                stored_at_us=stored_at_us,
                receipt=self._signer.sign(receipt.text()),
                record=upload.record.encode(),
            )
        )
        self._step("committed")
        log.info("segment stored segment=%s bytes=%d", upload.segment, upload.bytes)


def object_path(upload: PartialUpload) -> str:
    """Return where a segment lies below the objects folder."""
    name = SEGMENT.fullmatch(upload.segment)
    assert name is not None, "announcements with another name are refused"
    return f"{upload.pole}/{name['camera']}/{name['day']}/{upload.segment}.mp4.age"
