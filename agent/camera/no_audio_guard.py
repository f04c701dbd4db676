"""No sound, by construction: what is demuxed, and what a finished container may hold (R-AUDIO, PIPA 25(5)).

Rules:
* `refuse_unless_video`: only a stream of kind "video" may be demuxed, whatever else the input offers;
* a fragmented MP4 starts with `ftyp` and one `moov`; the `moov` has exactly one `trak`, its handler is `vide`, and
  no box of it is a sound box (`smhd`, a `soun` handler) or an unknown sample entry;
* `InitSegmentGuard` holds the muxer's bytes back until the whole `moov` was walked: a refused file leaves no byte;
* a fragment can only speak of a track that the `moov` declares, so nothing after the `moov` is walked.
No disk, no library: clear bytes are walked in memory only.
"""

from collections.abc import Iterator, Sequence

from agent.errors import SoundRefusedError

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"mvex", b"udta"})
_VIDEO_ENTRIES = frozenset({b"avc1", b"avc3", b"hvc1", b"hev1"})
_MAX_INIT_BYTES = 1 << 20


def sound_streams(kinds: Sequence[str]) -> int:
    """Return how many of an input's streams (libav's kind of each) carry sound."""
    return sum(kind == "audio" for kind in kinds)


def refuse_unless_video(kind: str) -> None:
    """Allow demuxing a stream of `kind` only when it is video.

    Raises:
        SoundRefusedError: it is anything else.
    """
    if kind != "video":
        raise SoundRefusedError(f"a stream of kind {kind} would be recorded; only video may be (PIPA 25(5))")


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, first content byte, end) of each box in `data[start:end]` (ISO/IEC 14496-12, 4.2).

    Raises:
        SoundRefusedError: a size does not fit, so that what the box holds cannot be known.
    """
    limit = len(data) if end is None else end
    while start < limit:
        kind, content, stop = _box_header(data, start, limit)
        if content > stop or stop > limit:
            raise SoundRefusedError(f"mp4 box {kind!r} does not fit its parent; the file is refused unread")
        yield kind, content, stop
        start = stop


def _box_header(data: bytes, start: int, limit: int) -> tuple[bytes, int, int]:
    size = int.from_bytes(data[start : start + 4], "big")
    kind = data[start + 4 : start + 8]
    if size == 1:
        return kind, start + 16, start + int.from_bytes(data[start + 8 : start + 16], "big")
    return kind, start + 8, limit if size == 0 else start + size


def check_init_segment(init: bytes) -> None:
    """Refuse an init segment (`ftyp` + `moov`) that holds anything but one video track.

    Raises:
        SoundRefusedError: a sound track, handler, header or sample entry; no track or more than one; not readable.
    """
    found = list(_walk(init, 0, len(init)))
    kinds = [kind for kind, _, _ in found]
    if kinds.count(b"moov") != 1 or kinds.count(b"trak") != 1:
        raise SoundRefusedError(f"the container has {kinds.count(b'trak')} tracks; exactly one video track is allowed")
    handlers = [init[content + 8 : content + 12] for kind, content, _ in found if kind == b"hdlr"]
    if b"vide" not in handlers or b"soun" in handlers or b"smhd" in kinds:
        raise SoundRefusedError(f"the container has a track of handler {handlers!r}; only video is allowed")
    for _, content, end in (box for box in found if box[0] == b"stsd"):
        entries = [kind for kind, _, _ in boxes(init, content + 8, end)]
        if len(entries) != 1 or entries[0] not in _VIDEO_ENTRIES:
            raise SoundRefusedError(f"the container has sample entries {entries!r}; only h.264 or h.265 is allowed")
    if b"stsd" not in kinds:
        raise SoundRefusedError("the container does not say what it holds; it is refused")


def _walk(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    for kind, content, stop in boxes(data, start, end):
        yield kind, content, stop
        if kind in _CONTAINERS:
            yield from _walk(data, content, stop)


class InitSegmentGuard:
    """One per segment: give it every byte of the muxer in order, pass on what `filter` returns."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._passed = False

    @property
    def passed(self) -> bool:
        """Whether the init segment was seen whole and found to hold one video track only."""
        return self._passed

    def filter(self, data: bytes) -> bytes:
        """Return the bytes that may reach the sealer: none until the `moov` is whole and clean.

        Raises:
            SoundRefusedError: see `check_init_segment`; or there is no `moov` where it must be.
        """
        if self._passed:
            return data
        self._held += data
        init_bytes = self._init_bytes()
        if init_bytes is None:
            return b""
        held = bytes(self._held)
        check_init_segment(held[:init_bytes])
        self._passed = True
        self._held.clear()
        return held

    def _init_bytes(self) -> int | None:
        """Return where the `moov` ends, or None while it is not whole."""
        position = 0
        while len(self._held) >= position + 16:
            size = int.from_bytes(self._held[position : position + 4], "big")
            kind = bytes(self._held[position + 4 : position + 8])
            if kind not in (b"ftyp", b"moov") or not 16 <= size <= _MAX_INIT_BYTES:
                raise SoundRefusedError(f"the container starts with {kind!r} of {size} bytes instead of ftyp and moov")
            position += size
            if kind == b"moov":
                return position if len(self._held) >= position else None
        return None
