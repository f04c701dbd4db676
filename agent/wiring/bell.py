"""Builds `pole-bell` from the configuration: contacts, lights, outbox, the MQTT session, and their workers."""

from collections.abc import Callable
from typing import Any

from agent.bell.bell import Bell, BellIdentity, FromCenter, LinkUp
from agent.bell.bell_report import BellReport
from agent.bell.contact_watch import ContactWatch
from agent.bell.control_socket import ControlSocket
from agent.bell.gpiozero_contact import GpiozeroContact, SimulatedButton, lgpio_factory, mock_factory
from agent.bell.gpiozero_indicator import GpiozeroIndicator, LampPins
from agent.bell.light import Light
from agent.bell.outbox import Outbox
from agent.clock import Clock
from agent.clock_sync import read_clock_state
from agent.config import BellConfig, Config
from agent.contract import topics
from agent.contract.messages import Status, encode
from agent.fault_board import FaultBoard
from agent.mqtt.link import Link, LinkHandlers, LinkSettings, Will
from agent.mqtt.paho_link import PahoLink
from agent.supervise import Supervisor, Worker
from agent.systemd_service_manager import service_manager_for

SERVICE = "bell"
LINK_STALL_S = 90.0  # a name server that does not answer blocks longer than any timeout of ours

MakeLink = Callable[[LinkSettings, dict[str, int], Callable[[str], Will], LinkHandlers, FaultBoard, Clock], Link]


def build_bell_service(
    config: Config, clock: Clock, *, make_link: MakeLink = PahoLink, simulated_pins: Any = None
) -> Supervisor:
    """Return the bell service, ready to run; `simulated_pins` is a gpiozero mock factory that a test holds too."""
    config.run_dir.mkdir(parents=True, exist_ok=True)
    faults = FaultBoard(clock)
    make_pins, button = _pins(config, simulated_pins)
    light = Light(GpiozeroIndicator(make_pins, _lamp_pins(config.bell)), faults, clock)
    outbox = Outbox(config.state_dir / "outbox.sqlite", clock)
    identity = BellIdentity(config.pole.id, config.bell.simulate, config.bell.window_after_s)
    bell = Bell(identity, outbox, light, faults, clock, read_clock_state)
    link = make_link(
        _link_settings(config),
        _subscriptions(config.pole.id),
        _will(config.pole.id, clock),
        _handlers(bell),
        faults,
        clock,
    )
    watch = _watch(config.bell, make_pins, bell, faults, clock)
    bell.attach(link, lambda: watch.reading)
    report = BellReport(
        config.pole.id,
        config.run_dir,
        config.health.heartbeat_s,
        config.health.probe_s,
        lambda: bell.snapshot,
        lambda: watch.reading,
        light,
        link,
        faults,
        clock,
        read_clock_state,
    )
    workers = [
        Worker("bell", bell.run),
        Worker("bell-contact", watch.run),
        Worker("bell-light", light.run),
        Worker("bell-link", link.run, stall_s=LINK_STALL_S),
        Worker("bell-report", report.run),
    ]
    if button is not None:
        workers.append(Worker("bell-control", ControlSocket(config.run_dir, button).run))
    return Supervisor(SERVICE, workers, clock, service_manager_for())


def _pins(config: Config, simulated_pins: Any) -> tuple[Callable[[], Any], SimulatedButton | None]:
    """Return how to get the pins, and the button that moves them when they are simulated."""
    if not config.bell.simulate:
        return _once(lambda: lgpio_factory(config.run_dir)), None
    if simulated_pins is not None:
        return lambda: simulated_pins, None
    factory = mock_factory()
    return lambda: factory, SimulatedButton(factory, config.bell.no_pin, _nc_pin(config.bell))


def _once(make: Callable[[], Any]) -> Callable[[], Any]:
    """Return a maker that makes one and shares it: contacts and lamps sit on the same chip."""
    made: list[Any] = []

    def get() -> Any:
        if not made:
            made.append(make())
        return made[0]

    return get


def _lamp_pins(bell: BellConfig) -> LampPins:
    return LampPins(bell.white_pin, bell.red_pin, bell.green_pin, bell.siren_pin)


def _nc_pin(bell: BellConfig) -> int | None:
    return bell.nc_pin if bell.wiring == "no-nc" else None


def _watch(
    bell_config: BellConfig, make_pins: Callable[[], Any], bell: Bell, faults: FaultBoard, clock: Clock
) -> ContactWatch:
    nc_pin = _nc_pin(bell_config)
    contact = GpiozeroContact(make_pins, bell_config.no_pin, nc_pin, clock.mono_s)
    return ContactWatch(contact, bell_config.debounce_ms / 1000, nc_pin is not None, bell.post, faults, clock)


def _link_settings(config: Config) -> LinkSettings:
    center = config.center
    return LinkSettings(
        host=center.broker_host,
        port=center.broker_port,
        ca_file=center.ca_file,
        cert_file=center.cert_file,
        key_file=center.key_file,
        client_id=config.pole.id,
    )


def _subscriptions(pole: str) -> dict[str, int]:
    return {topics.down(pole, "receipt"): 1, topics.down(pole, "answer"): 1, topics.CENTER_BEAT: 0}


def _will(pole: str, clock: Clock) -> Callable[[str], Will]:
    def make(session: str) -> Will:
        now_us = clock.utc_us()
        birth = Status(pole=pole, session=session, state="online", at_us=now_us)
        death = Status(pole=pole, session=session, state="offline", at_us=now_us)
        return Will(topics.up(pole, "status"), encode(birth), encode(death))

    return make


def _handlers(bell: Bell) -> LinkHandlers:
    return LinkHandlers(
        on_up=lambda: bell.post(LinkUp()),
        on_down=lambda: None,
        on_message=lambda topic, payload: bell.post(FromCenter(topic, payload)),
    )
