"""An IP camera over RTSP, interleaved in TCP, video only (R-AUDIO, FACTS "PyAV").

Rules:
* our own DESCRIBE comes first: it names what is wrong and whether the camera offers sound;
* libav then sets up video tracks only (`allowed_media_types`), so that no sound packet is even sent;
* a killed server ends the stream without an exception, a frozen one sends nothing: both become SourceError.
"""

from dataclasses import replace

from agent.camera.av_input import AvInput, InputRequest
from agent.camera.encoding import Encoding
from agent.camera.live_source import LiveSource
from agent.camera.rtsp_probe import described, offers_sound, parse_address

_OPTIONS = {
    "rtsp_transport": "tcp",
    "allowed_media_types": "video",
    "protocol_whitelist": "rtsp,rtp,tcp,udp",
}


class RtspSource(LiveSource):
    """`address` may hold user and password; neither is logged nor part of any error."""

    def __init__(
        self, address: str, *, fps: float = 25.0, read_timeout_s: float = 5.0, encoding: Encoding | None = None
    ) -> None:
        self._address = parse_address(address)
        self._request = InputRequest(
            address, self._address.name, read_timeout_s, _OPTIONS, "rtsp", fps, encoding or Encoding()
        )
        super().__init__(self._address.name, self._connect, read_timeout_s, 3 * read_timeout_s)

    def _connect(self) -> AvInput:
        with described(self._address, self._read_timeout_s) as sdp:
            opened = AvInput(self._request)
        has_sound = offers_sound(sdp) or opened.format.source_has_sound
        opened.format = replace(opened.format, source_has_sound=has_sound)
        return opened
