"""Thousands of poles that do nothing but live: each its own TLS session, will, birth, subscriptions, pings, heartbeats.

`python -m support.fleet PKI_DIR PORT POLES BEAT_S [RAMP]` connects them, at most RAMP handshakes at a time, says
`ready POLES SECONDS`, answers each line on standard input with one JSON object of its counts, and ends with the input.
A bare MQTT 5 client in one event loop: paho's thread, queues and buffers a pole would be the load, not the broker's.
Packet layouts: MQTT 5.0, sections 3.1 (CONNECT), 3.3 (PUBLISH), 3.4 (PUBACK), 3.8 (SUBSCRIBE), 3.12 (PINGREQ).
"""

import asyncio
import contextlib
import json
import random
import resource
import socket
import ssl
import struct
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.contract import topics
from agent.contract.messages import (
    BellReading,
    ClockState,
    CpuReading,
    DiskReading,
    Heartbeat,
    MemoryReading,
    Status,
    encode,
)
from center import pki

KEEPALIVE_S = 10
EXPIRY_S = 86_400
RAMP = 16
CONNACK, PUBLISH, PUBACK, SUBACK = 0x20, 0x30, 0x40, 0x90
SPARE_FILES = 256


@dataclass
class Counts:
    """What the fleet did so far."""

    connected: int = 0
    lost: int = 0
    refused: int = 0
    beats_sent: int = 0
    pings_sent: int = 0
    messages_heard: int = 0


class FleetPole(asyncio.Protocol):
    """One pole's session."""

    def __init__(self, name: str, beat_s: float, counts: Counts) -> None:
        self.up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._name = name
        self._beat_s = beat_s
        self._counts = counts
        self._session = f"{name}-{time.monotonic_ns()}"
        self._seq = 0
        self._received = bytearray()
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.write(connect_packet(self._name, self._status("offline")))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.up.done() and not self.up.cancelled() and self.up.exception() is None:
            self._counts.connected -= 1
            self._counts.lost += 1
        elif not self.up.done():
            self.up.set_exception(exc or ConnectionError("the broker hung up"))
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (packet := take_packet(self._received)) is not None:
            self._heard(*packet)

    def _heard(self, kind: int, body: bytes) -> None:
        if kind & 0xF0 == CONNACK:
            if body[1] >= 0x80:
                self.up.set_exception(ConnectionError(f"the broker refused with 0x{body[1]:02x}"))
                return
            down = {topics.down(self._name, "receipt"): 1, topics.down(self._name, "answer"): 1, topics.CENTER_BEAT: 0}
            self._transport.write(subscribe_packet(1, down))
        elif kind & 0xF0 == SUBACK and not self.up.done():
            self._transport.write(publish_packet(topics.up(self._name, "status"), self._status("online"), 1, True, 2))
            self._counts.connected += 1
            self.up.set_result(None)
            loop = asyncio.get_running_loop()
            loop.call_later(random.uniform(0, self._beat_s), self._beat)
            loop.call_later(random.uniform(0, KEEPALIVE_S), self._ping)
        elif kind & 0xF0 == PUBLISH:
            self._counts.messages_heard += 1
            if kind & 0x06:
                (length,) = struct.unpack_from(">H", body)
                self._transport.write(b"\x40\x02" + body[2 + length : 4 + length])

    def _beat(self) -> None:
        if self._transport is None:
            return
        self._seq += 1
        self._counts.beats_sent += 1
        payload = heartbeat(self._name, self._session, self._seq)
        self._transport.write(publish_packet(topics.up(self._name, "heartbeat"), payload, 0, False, 0))
        asyncio.get_running_loop().call_later(self._beat_s, self._beat)

    def _ping(self) -> None:
        if self._transport is None:
            return
        self._counts.pings_sent += 1
        self._transport.write(b"\xc0\x00")
        asyncio.get_running_loop().call_later(KEEPALIVE_S, self._ping)

    def _status(self, state: Any) -> bytes:
        return encode(Status(pole=self._name, session=self._session, state=state, at_us=time.time_ns() // 1000))


def text(value: str | bytes) -> bytes:
    """Return a length-prefixed string or binary value (MQTT 5.0, 1.5.4 and 1.5.6)."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(raw)) + raw


def packet(kind: int, body: bytes) -> bytes:
    """Return a packet with its remaining length (MQTT 5.0, 2.1.4)."""
    length, head = len(body), bytearray([kind])
    while True:
        length, digit = divmod(length, 128)
        head.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(head) + body


def connect_packet(name: str, will: bytes) -> bytes:
    """Return CONNECT as our poles send it: session kept, will retained at QoS 1."""
    flags = 0x04 | 0x08 | 0x20
    head = text("MQTT") + bytes([5, flags]) + struct.pack(">H", KEEPALIVE_S) + b"\x05\x11" + struct.pack(">I", EXPIRY_S)
    return packet(0x10, head + text(name) + b"\x00" + text(topics.up(name, "status")) + text(will))


def subscribe_packet(mid: int, wanted: dict[str, int]) -> bytes:
    return packet(
        0x82, struct.pack(">H", mid) + b"\x00" + b"".join(text(topic) + bytes([qos]) for topic, qos in wanted.items())
    )


def publish_packet(topic: str, payload: bytes, qos: int, retain: bool, mid: int) -> bytes:
    number = struct.pack(">H", mid) if qos else b""
    return packet(PUBLISH | qos << 1 | retain, text(topic) + number + b"\x00" + payload)


def take_packet(received: bytearray) -> tuple[int, bytes] | None:
    """Take the first whole packet out of `received`: its first byte and its body; None while it is not all there."""
    length, shift, at = 0, 0, 1
    while at < len(received):
        length |= (received[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not received[at - 1] & 0x80:
            break
    else:
        return None
    if len(received) < at + length:
        return None
    taken = received[0], bytes(received[at : at + length])
    del received[: at + length]
    return taken


def heartbeat(name: str, session: str, seq: int) -> bytes:
    """Return a heartbeat of the size that a pole with a bell sends."""
    now_us = time.time_ns() // 1000
    return encode(
        Heartbeat(
            pole=name,
            session=session,
            seq=seq,
            at_us=now_us,
            uptime_s=seq * 30,
            agent_version="fleet",
            clock=ClockState(synced=True, source="ntp", error_us=1000),
            disk=DiskReading(total_bytes=64 << 30, free_bytes=(32 << 30) - seq, writable=True),
            cpu=CpuReading(busy_percent=random.uniform(5, 30), load_1min=random.uniform(0.1, 1.0)),
            memory=MemoryReading(total_bytes=4 << 30, available_bytes=(2 << 30) - seq),
            bell=BellReading(line="idle", line_poll_age_s=0.01, light="ready", presses=0, outbox_waiting=0),
        )
    )


def issue_fleet(pki_dir: Path, poles: int) -> list[pki.Issued]:
    """Issue what is not issued yet."""
    names = [f"fleet-{number:05d}" for number in range(poles)]
    issued = []
    for name in names:
        stem = pki_dir / "poles" / name
        known = pki.Issued(name, stem.with_suffix(".crt"), stem.with_suffix(".key"), pki_dir / "ca.crt")
        issued.append(known if known.cert_file.exists() else pki.issue_pole(pki_dir, name))
    return issued


def tls(who: pki.Issued) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(who.ca_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(who.cert_file, who.key_file)
    return context


async def connect(who: pki.Issued, port: int, beat_s: float, counts: Counts, gate: asyncio.Semaphore) -> None:
    """Bring one pole up; tried again until it is."""
    loop = asyncio.get_running_loop()
    while True:
        async with gate:
            try:
                _, pole = await loop.create_connection(
                    lambda: FleetPole(who.name, beat_s, counts), "127.0.0.1", port, ssl=tls(who)
                )
                await asyncio.wait_for(pole.up, 30)
                return
            except (OSError, TimeoutError) as error:
                counts.refused += 1
                print(f"{who.name}: {error!r}; trying again", file=sys.stderr)
        await asyncio.sleep(1)


def answer_lines(loop: asyncio.AbstractEventLoop, counts: Counts, ended: asyncio.Event) -> None:
    for _ in sys.stdin:
        print(json.dumps(asdict(counts)), flush=True)
    loop.call_soon_threadsafe(ended.set)


async def live(fleet: list[pki.Issued], port: int, beat_s: float, ramp: int) -> None:
    """Connect everybody, then live until the input ends."""
    counts, ended, gate = Counts(), asyncio.Event(), asyncio.Semaphore(ramp)
    began = time.monotonic()
    await asyncio.gather(*(connect(who, port, beat_s, counts, gate) for who in fleet))
    print(f"ready {counts.connected} {time.monotonic() - began:.1f}", flush=True)
    threading.Thread(target=answer_lines, args=(asyncio.get_running_loop(), counts, ended), daemon=True).start()
    await ended.wait()


def raise_file_limit(files: int) -> None:
    """Allow this process, and what it starts, `files` open files; a broker needs one a pole."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files + SPARE_FILES
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            hard = max(hard, wanted)
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < wanted:
        raise SystemExit(f"{wanted} open files are not allowed here; raise the limit (ulimit -n) and start again")


def main() -> None:
    pki_dir, port, poles, beat_s = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    raise_file_limit(poles)
    began = time.monotonic()
    fleet = issue_fleet(pki_dir, poles)
    print(f"issued {poles} {time.monotonic() - began:.1f}", flush=True)
    asyncio.run(live(fleet, port, beat_s, int(sys.argv[5]) if len(sys.argv) > 5 else RAMP))


if __name__ == "__main__":
    main()
