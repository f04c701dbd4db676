"""What ingest knows of each upload and may do with it; no HTTP here, and every method may block (run it in a thread).

Rules:
* the pole is the certificate's; an upload of another pole is refused, and a try at one is a security event;
* a stored segment still answers under its upload's name: all bytes are there;
* below `min_free_bytes` nothing new is begun or continued: the center's own database must not starve.
"""

import errno
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from center.errors import StoreError
from center.ingest.announcement import judge
from center.ingest.completion import Completion
from center.ingest.partial import SEGMENT, PartialStore, PartialUpload, parse_upload_id
from center.ingest.problem import Refusal
from center.ingest.tus_headers import Announcement
from center.store import Store

log = logging.getLogger(__name__)

PARTIALS_PER_POLE = 64


@dataclass(frozen=True)
class Standing:
    """How an upload stands: its durable bytes, its length (None: deferred), and the partial unless it is stored."""

    id: str
    offset: int
    length: int | None
    partial: PartialUpload | None


class Receiver:
    """The core of ingest."""

    def __init__(
        self,
        store: Store,
        partials: PartialStore,
        completion: Completion,
        known_recipient: Callable[[str], bool],
        root: Path,
        min_free_bytes: int,
        now_us: Callable[[], int],
    ) -> None:
        self._store = store
        self._partials = partials
        self._completion = completion
        self._known_recipient = known_recipient
        self._root = root
        self._min_free_bytes = min_free_bytes
        self._now_us = now_us

    def announce(self, pole: str, said: Announcement, busy: Callable[[str], bool]) -> Standing:
        """Begin an upload, or find the one that began. `busy` says whether an upload is being written just now.

        Raises:
            Refusal: what is announced is not acceptable, or there is no room.
        """
        try:
            upload = judge(pole, said, self._known_recipient)
        except Refusal as refusal:
            if refusal.code == "not-your-pole":
                self._suspect(pole, refusal.code, said.segment)
            raise
        if self._completion.settled(upload):
            return Standing(upload.id, upload.bytes, upload.bytes, None)
        self.check_room()
        with storage_refusals():
            self._make_place(pole, upload, busy)
            upload = self._partials.create(upload)
            if self._partials.size(upload) is None:
                self._completion.finish(upload)
        return self.standing(pole, upload.id)

    def standing(self, pole: str, name: str) -> Standing:
        """Return how the upload `name` of `pole` stands.

        Raises:
            Refusal: unknown, or another pole's.
        """
        segment, digest = self.own(pole, name)
        stored = self._store.objects.get(segment)
        if stored is not None and stored.pole == pole and stored.sha256.startswith(digest):
            return Standing(name, stored.bytes, stored.bytes, None)
        upload = self._partials.get(pole, name)
        if upload is None:
            raise Refusal("no-such-upload", f"{name} is not known here; announce it again")
        size = self._partials.size(upload)
        offset = upload.bytes if size is None else size  # moved already, and not yet noted: every byte is here
        return Standing(name, offset, upload.length, upload)

    def fix_length(self, upload: PartialUpload, length: int) -> PartialUpload:
        """Give a deferred length; it must be the record's.

        Raises:
            Refusal: it is another one.
        """
        if length != upload.bytes or upload.length not in (None, length):
            raise Refusal("record-invalid", f"the record says {upload.bytes} bytes, Upload-Length says {length}")
        if upload.length is not None:
            return upload
        with storage_refusals():
            return self._partials.set_length(upload, length)

    def finish(self, upload: PartialUpload, digest: str | None) -> None:
        """Let the center hold a complete upload.

        Raises:
            Refusal: it is not what was announced, or the center cannot store it now.
        """
        with storage_refusals():
            self._completion.finish(upload, digest)

    def forget(self, pole: str, name: str) -> None:
        """Drop the bytes of an upload that is not complete.

        Raises:
            Refusal: unknown, another pole's, or stored already.
        """
        upload = self.standing(pole, name).partial
        if upload is None:
            raise Refusal("no-such-upload", f"{name} is stored; what is stored is not terminated")
        with storage_refusals():
            self._partials.remove(upload)

    def receipt(self, pole: str, segment: str) -> str:
        """Return the signed receipt.

        Raises:
            Refusal: not held, or another pole's.
        """
        name = SEGMENT.fullmatch(segment)
        if name is not None and name["pole"] != pole:
            self._suspect(pole, "not-your-pole", segment)
            raise Refusal("not-your-pole", f"the segment names pole {name['pole']}, the certificate says {pole}")
        stored = self._store.objects.get(segment) if name is not None else None
        if stored is None:
            raise Refusal("no-receipt", "the center does not hold this segment")
        return stored.receipt

    def check_room(self) -> None:
        """Refuse when the file system is below its limit.

        Raises:
            Refusal: store-full.
        """
        disk = os.statvfs(self._root)
        if disk.f_bavail * disk.f_frsize < self._min_free_bytes:
            raise Refusal("store-full", f"less than {self._min_free_bytes} bytes are free at the center")

    def own(self, pole: str, name: str) -> tuple[str, str]:
        """Return the segment of the upload `name` and the first digits of its digest.

        Raises:
            Refusal: not the name of an upload, or another pole's.
        """
        parsed = parse_upload_id(name)
        if parsed is None:
            raise Refusal("no-such-upload", "this is not the name of an upload")
        if parsed[0].split(".", 1)[0] != pole:
            self._suspect(pole, "not-your-pole", parsed[0])
            raise Refusal("not-your-pole", f"the upload is another pole's, the certificate says {pole}")
        return parsed

    def _make_place(self, pole: str, upload: PartialUpload, busy: Callable[[str], bool]) -> None:
        """Drop the longest untouched upload of a pole that has too many; it can send it again."""
        others = [one for one in self._partials.by_pole(pole) if one.id != upload.id]
        for one in others[: max(0, len(others) - PARTIALS_PER_POLE + 1)]:
            if not busy(one.id):
                log.warning("untouched upload dropped upload=%s", one.id)
                self._partials.remove(one)

    def _suspect(self, pole: str, what: str, segment: str) -> None:
        told = {"pole": pole, "what": what, "segment": segment[:200]}
        self._store.events.append("security", told, self._now_us())


@contextmanager
def storage_refusals() -> Iterator[None]:
    """Turn a disk that is full or failing into the refusal that the pole waits on."""
    try:
        yield
    except OSError as exc:
        full = exc.errno in (errno.ENOSPC, errno.EDQUOT) or "full" in str(exc)
        log.error("ingest cannot write reason=%s", exc)
        code = "store-full" if full else "store-failed"
        raise Refusal(code, "the center cannot store now; it is tried again") from exc


assert issubclass(StoreError, OSError), "storage_refusals relies on it"
