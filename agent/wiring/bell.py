"""Builds `pole-bell` from the configuration: contacts, lights, outbox, the MQTT session, and their workers."""

from collections.abc import Callable
from typing import Any

from agent.bell.bell import Bell, BellIdentity, FromCenter, LinkUp
from agent.bell.bell_report import BellReport
from agent.bell.chatter import ChatterLimits
from agent.bell.contact_watch import ContactWatch, WatchLimits
from agent.bell.control_socket import ControlSocket
from agent.bell.light import Light
from agent.bell.line import LineLimits
from agent.bell.mode_keeper import ModeKeeper
from agent.bell.mode_memory import ModeMemory
from agent.bell.outbox import Outbox
from agent.clock import Clock
from agent.clock_sync import read_clock_state
from agent.config import BellConfig, Config
from agent.contract import topics
from agent.contract.messages import Status, encode
from agent.fault_board import FaultBoard
from agent.mqtt.link import Link, LinkHandlers, LinkSettings, Will
from agent.mqtt.paho_link import PahoLink
from agent.recording.boot_id import read_boot_id
from agent.supervise import Supervisor, Worker
from agent.systemd_service_manager import service_manager_for
from agent.wiring.bell_commands import BellCommands, command_subscriptions
from agent.wiring.bell_duties import ServiceDuties
from agent.wiring.bell_hardware import bell_hardware

SERVICE = "bell"
LINK_STALL_S = 90.0  # a name server that does not answer blocks longer than any timeout of ours

MakeLink = Callable[[LinkSettings, dict[str, int], Callable[[str], Will], LinkHandlers, FaultBoard, Clock], Link]


def build_bell_service(
    config: Config, clock: Clock, *, make_link: MakeLink = PahoLink, simulated_pins: Any = None
) -> Supervisor:
    """Return the bell service, ready to run; `simulated_pins` is a gpiozero mock factory that a test holds too."""
    config.run_dir.mkdir(parents=True, exist_ok=True)
    faults = FaultBoard(clock)
    hardware = bell_hardware(config.bell, config.run_dir, simulated_pins, faults, clock)
    light = Light(hardware.indicator, faults, clock, hardware.lamp_sense)
    outbox = Outbox(config.state_dir / "outbox.sqlite", clock)
    identity = BellIdentity(config.pole.id, config.bell.simulate, config.bell.window_after_s)
    modes = ModeKeeper(ModeMemory(outbox), hardware.key_switch, faults, clock, read_boot_id)
    bell = Bell(identity, outbox, light, faults, clock, read_clock_state, modes)
    commands = BellCommands(config, light, ServiceDuties(bell), faults, clock, read_clock_state)
    link = make_link(*_link_parts(config, bell, commands, clock), faults, clock)
    watch = ContactWatch(hardware.contact, _limits(config.bell), hardware.supervised, bell.post, faults, clock)
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
    commands.attach(link, report.hurry)
    workers = [
        Worker("bell", bell.run),
        Worker("bell-contact", watch.run),
        Worker("bell-light", light.run),
        Worker("bell-link", link.run, stall_s=LINK_STALL_S),
        Worker("bell-report", report.run),
        Worker("bell-commands", commands.worker.run),
    ]
    if hardware.button is not None:
        workers.append(Worker("bell-control", ControlSocket(config.run_dir, hardware.button).run))
    return Supervisor(SERVICE, workers, clock, service_manager_for())


def _link_parts(
    config: Config, bell: Bell, commands: BellCommands, clock: Clock
) -> tuple[LinkSettings, dict[str, int], Callable[[str], Will], LinkHandlers]:
    pole = config.pole.id
    return _link_settings(config), _subscriptions(pole), _will(pole, clock), _handlers(bell, commands)


def _limits(bell: BellConfig) -> WatchLimits:
    line = LineLimits(bell.settle_ms / 1000, bell.mended_s, bell.stuck_s)
    return WatchLimits(bell.debounce_ms / 1000, line, ChatterLimits(bell.chatter_changes, bell.chatter_window_s))


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
    words = {topics.down(pole, "receipt"): 1, topics.down(pole, "answer"): 1, topics.CENTER_BEAT: 0}
    return words | command_subscriptions(pole)


def _will(pole: str, clock: Clock) -> Callable[[str], Will]:
    def make(session: str) -> Will:
        now_us = clock.utc_us()
        birth = Status(pole=pole, session=session, state="online", at_us=now_us)
        death = Status(pole=pole, session=session, state="offline", at_us=now_us)
        return Will(topics.up(pole, "status"), encode(birth), encode(death))

    return make


def _handlers(bell: Bell, commands: BellCommands) -> LinkHandlers:
    def on_up() -> None:
        bell.post(LinkUp())
        commands.worker.linked()

    def on_message(topic: str, payload: bytes) -> None:
        if not commands.take(topic, payload):
            bell.post(FromCenter(topic, payload))

    return LinkHandlers(on_up=on_up, on_down=lambda: None, on_message=on_message)
