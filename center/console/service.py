"""Puts the console together and runs it: `pole-center console --config center.toml`.

Rules: the only place that knows the whole configuration; two connections to the store, one for the feed's thread
and one for the pages; the entry link is printed only to a terminal, else its file is named.
"""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from starlette.applications import Starlette
from starlette.routing import Route

from center.commands.key_folder import KeyFolder
from center.commands.signing import CommandOffice
from center.config import CenterConfig
from center.console import simulated_press
from center.console.access import EntryLink, Sessions
from center.console.app import build_app
from center.console.bell_pages import BellPages
from center.console.catalogue import load_catalogues
from center.console.desk_pages import DeskPages
from center.console.entry_pages import EntryPages
from center.console.event_stream import EventStream
from center.console.feed import Feed
from center.console.footage import Footage
from center.console.incident_desk import IncidentDesk
from center.console.mode_board import ModeBoard
from center.console.openings import Openings
from center.console.page_parts import PageParts
from center.console.places import Places
from center.console.plan_pages import PlanPages
from center.console.pole_pages import PolePages
from center.console.poles_pages import PoleBoard, PolesPages
from center.console.recording_pages import RecordingPages
from center.console.rendering import Renderer, utc_us
from center.console.security_pages import SecurityPages
from center.console.statistics_pages import StatisticsPages
from center.console.status_strip import StatusStrip, StepClock
from center.console.uvicorn_server import ConsoleServer, Listen, bind, console_tls, make_server
from center.console.visit import Gate
from center.console.wall_pages import WallPages
from center.console.work_order_pages import WorkOrderPages
from center.custodian.keyring import Keyring
from center.custodian.opening import Custodian
from center.errors import ConfigError, PkiError
from center.process import notify
from center.store import Store

log = logging.getLogger(__name__)

COMMAND_KEYS = "command-keys"  # the same folder as `pole-center command` uses (center.commands.cli)


@dataclass(frozen=True)
class Console:
    """The parts that outlive a request."""

    app: Starlette
    feed: Feed
    store: Store
    link: EntryLink | None
    sessions: Sessions


def listen_of(config: CenterConfig) -> Listen:
    """Return where to listen; what the console's table does not name is taken from ingest's."""
    own, ingest = config.console, config.ingest
    return Listen(
        own.host,
        own.port,
        own.cert_file or ingest.cert_file,
        own.key_file or ingest.key_file,
        own.ca_file or ingest.ca_file,
        ingest.crl_file,
    )


def build_console(config: CenterConfig, on_failure: Callable[[], None], port: int) -> Console:
    """Open the store and put the pages together; `port` is the one really bound (it may have been given as 0)."""
    store = Store(config.database)
    feed = Feed(lambda: Store(config.database).events, on_failure)
    listen = listen_of(config)
    host = "127.0.0.1" if listen.host == "localhost" else listen.host
    base_url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    link = EntryLink(config.state_dir, base_url) if listen.is_local else None
    sessions = Sessions()
    gate = Gate(sessions, load_catalogues())
    renderer = Renderer(config.console.simulation)
    app = build_app(gate, renderer, _routes(config, gate, renderer, store, feed, link))
    return Console(app, feed, store, link, sessions)


def _routes(
    config: CenterConfig, gate: Gate, renderer: Renderer, store: Store, feed: Feed, link: EntryLink | None
) -> list[Route]:
    places = Places(config.console.places_file)
    modes = ModeBoard(store, utc_us)
    steps = StepClock(config.escalation.second_s, config.escalation.wall_s)
    strip = StatusStrip(store, feed, modes, places, utc_us, steps)
    footage = Footage(store)
    desk = IncidentDesk(store, strip, places, footage, utc_us)
    openings = Openings(Custodian(store, Keyring(config.custodian.key_dir), config.objects_dir))
    socket_file = config.console.simulated_bell_socket if config.console.simulation else None
    press_bell = partial(simulated_press.press, socket_file) if socket_file else None
    stream = EventStream(gate, feed, store.events.after, utc_us)
    keys = KeyFolder(config.custodian.key_dir.parent / COMMAND_KEYS)
    office = CommandOffice(keys, store.commands, utc_us)
    parts = PageParts(gate, renderer, store, strip, places, utc_us)
    return [
        Route("/events", stream.endpoint),
        *EntryPages(gate, renderer, openings, link).routes(),
        *DeskPages(gate, renderer, store, strip, desk, utc_us, press_bell).routes(),
        *WallPages(gate, renderer, strip, desk).routes(),
        *PlanPages(gate, places).routes(),
        *PolesPages(gate, renderer, PoleBoard(store, utc_us), strip, places, utc_us).routes(),
        *PolePages(parts, footage).routes(),
        *RecordingPages(gate, renderer, store, strip, places, openings).routes(),
        *BellPages(parts).routes(),
        *WorkOrderPages(parts, modes, office, partial(_can_sign, keys)).routes(),
        *StatisticsPages(gate, renderer, store, strip, utc_us).routes(),
        *SecurityPages(parts).routes(),
    ]


def _can_sign(keys: KeyFolder, officer: str) -> bool:
    try:
        keys.signer(officer)
    except PkiError:
        return False
    return True


class ConsoleProcess:
    """The console bound to its address: `run` serves until a signal, `stop` ends it from another thread."""

    def __init__(self, config: CenterConfig) -> None:
        """Bind, open the store, write the entry link.

        Raises:
            ConfigError: the address cannot be had or a certificate file cannot be read.
            StoreError: the database cannot be opened.
        """
        listen = listen_of(config)
        self._failed = False
        try:
            tls = console_tls(listen)
            self._listener = bind(listen)
        except OSError as exc:
            raise ConfigError([f"console: cannot listen on {listen.host}:{listen.port}: {exc}"]) from exc
        self.port = int(self._listener.getsockname()[1])
        self.console = build_console(config, self._fail, self.port)
        self._server: ConsoleServer = make_server(self.console.app, tls, self.console.feed.stop)

    def run(self) -> int:
        """Serve; return 0 after a stop in order, 1 when the feed failed."""
        self.console.feed.start()
        notify("READY=1")
        log.info("console ready port=%d", self.port)
        self._server.run(sockets=[self._listener])
        notify("STOPPING=1")
        self.console.feed.stop()
        self.console.store.close()
        return 1 if self._failed else 0

    def stop(self) -> None:
        """Ask `run` to return."""
        self._server.should_exit = True

    def _fail(self) -> None:
        self._failed = True
        self.stop()


def run_console(config: CenterConfig) -> int:
    """Serve the console until SIGTERM and return the process's exit status."""
    process = ConsoleProcess(config)
    link = process.console.link
    if link is not None:
        if sys.stdout.isatty():
            print(f"enter the console once with: {link.url}")
        log.info("entry link written file=%s", link.path)
    return process.run()
