"""The dedicated link as a cable that can be cut: a TCP relay between a pole and the broker, one thread for all cables.

Rules:
* `cut` is a broken wire with a live router: connections are reset and new ones refused until `mend`;
* `stall` is a link that swallows packets, in one direction (half open) or both: nothing is answered, connections stand;
  TCP would send the bytes again later, so the relay keeps them instead of dropping them from the stream;
* `mend` lets everything through again; with `reset` the connections that stood meanwhile are gone, as behind a router
  that forgot them;
* no byte is changed: TLS and MQTT run end to end.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any

PIECE_BYTES = 65_536
RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # lingers for 0 s: close sends RST instead of FIN


class CableDuct:
    """The thread in which all cables of a drill run."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cables", daemon=True)
        self._cables: list[Cable] = []
        self._thread.start()

    def lay(self, broker_port: int) -> "Cable":
        """Return a cable to a broker on this machine; poles connect to `Cable.port`."""
        cable = Cable(self, broker_port)
        self._cables.append(cable)
        self.call(cable.open())
        return cable

    def call(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in the cables' thread and wait for it."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def close(self) -> None:
        """End the thread; what still stands is dropped."""
        for cable in self._cables:
            cable.cut()
        self.call(self._drop_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _drop_all(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Cable:
    """One pole's link. `cut`, `stall` and `mend` may be called from any thread."""

    def __init__(self, duct: CableDuct, broker_port: int) -> None:
        self.port = 0
        self._duct = duct
        self._broker_port = broker_port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._up, self._down = asyncio.Event(), asyncio.Event()

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._duct.call(self._cut())

    def stall(self, *, up: bool = True, down: bool = True) -> None:
        """Let nothing through from the pole (`up`) and to the pole (`down`)."""
        self._duct.call(self._stall(up, down))

    def mend(self, *, reset: bool = False) -> None:
        """Let everything through again."""
        self._duct.call(self._mend(reset))

    async def open(self) -> None:
        """Listen; the first time on a free port, later on the same one."""
        self._up.set()
        self._down.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port, limit=PIECE_BYTES)
            self.port = int(self._server.sockets[0].getsockname()[1])

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self._reset()

    async def _stall(self, up: bool, down: bool) -> None:
        if up:
            self._up.clear()
        if down:
            self._down.clear()

    async def _mend(self, reset: bool) -> None:
        if reset:
            self._reset()
        await self.open()

    def _reset(self) -> None:
        for writer in list(self._writers):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            writer.transport.abort()

    async def _relay(self, from_pole: asyncio.StreamReader, to_pole: asyncio.StreamWriter) -> None:
        self._writers.add(to_pole)
        to_broker = None
        try:
            await self._up.wait()
            from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self._broker_port, limit=PIECE_BYTES)
            self._writers.add(to_broker)
            for writer in (to_pole, to_broker):
                writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pumps = [
                asyncio.create_task(_pump(from_pole, to_broker, self._up)),
                asyncio.create_task(_pump(from_broker, to_pole, self._down)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass  # the broker is down: the pole sees its connection end
        finally:
            for writer in (to_pole, to_broker):
                if writer is not None:
                    self._writers.discard(writer)
                    writer.transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, gate: asyncio.Event) -> None:
    """Carry bytes while the gate is open; the end of a connection passes the gate as well, as a lost FIN would wait."""
    with contextlib.suppress(OSError):
        while True:
            piece = await source.read(PIECE_BYTES)
            await gate.wait()
            if not piece:
                return
            sink.write(piece)
            await sink.drain()
