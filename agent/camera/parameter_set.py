"""Finds the sequence parameter set at the start of an Annex B keyframe (ITU-T H.264 annex B, H.265 annex B). Pure."""

HEAD_BYTES = 512
_START = b"\0\0\1"


def sequence_parameter_set(head: bytes, codec: str) -> bytes | None:
    """Return the SPS unit within the first bytes of a keyframe, or None: none there, cut off, or not Annex B.

    `codec` is "h264" (unit type 7) or "hevc" (unit type 33).
    """
    if not head.startswith((_START, b"\0" + _START)):
        return None
    begin = head.find(_START) + 3
    while begin < len(head):
        end = head.find(_START, begin)
        if end == -1:
            return None
        if _is_sps(head[begin], codec):
            return head[begin:end].rstrip(b"\0")
        begin = end + 3
    return None


def _is_sps(first_byte: int, codec: str) -> bool:
    return first_byte & 0x1F == 7 if codec == "h264" else first_byte >> 1 & 0x3F == 33
