"""The bell's one thread, stepped by hand over a real outbox, a memory link and a simulated clock."""

from dataclasses import replace

from agent.bell.bell import Bell, BellIdentity, FromCenter, LinkUp
from agent.bell.contact_watch import LineReading
from agent.bell.indicator import RecordingIndicator
from agent.bell.light import Light
from agent.bell.line import Actuation
from agent.bell.mode_keeper import ModeKeeper
from agent.bell.mode_memory import ModeMemory
from agent.bell.outbox import Outbox
from agent.bell.self_test import GOOD_POLLS
from agent.clock import SimulatedClock
from agent.contract import topics
from agent.contract.messages import Alarm, AlarmReceipt, CenterBeat, ClockState, Inspection, decode, encode
from agent.fault_board import FaultBoard
from agent.mqtt.link import LinkHandlers
from agent.mqtt.memory_link import MemoryLink

POLE = "pole-1"


class FailingOutbox(Outbox):
    """An outbox on a disk that can be told to fail."""

    failing = False

    def _connection(self):
        if self.failing:
            raise OSError(28, "no space left on device")
        return super()._connection()


class Rig:
    """The bell's thread in our hand: `tick` and `pass_time` instead of its loop."""

    def __init__(self, directory, key=None, sense=None):
        self.directory = directory
        self.clock = SimulatedClock()
        self.clock_state = ClockState(synced=True, source="ntp", error_us=1)
        self.key, self.sense, self.boot = key, sense, "boot-1"
        self.begin()

    def begin(self):
        """Start the service (again): all that it remembers is the outbox."""
        self.faults = FaultBoard(self.clock)
        self.indicator = RecordingIndicator()
        self.outbox = FailingOutbox(self.directory / "outbox.sqlite", self.clock)
        self.line = LineReading("idle", True, self.clock.mono_s(), GOOD_POLLS)
        identity = BellIdentity(POLE, simulated=True, window_after_s=60.0)
        self.modes = ModeKeeper(ModeMemory(self.outbox), self.key, self.faults, self.clock, lambda: self.boot)
        self.light = Light(self.indicator, self.faults, self.clock, self.sense)
        self.bell = Bell(
            identity, self.outbox, self.light, self.faults, self.clock, lambda: self.clock_state, self.modes
        )
        handlers = LinkHandlers(lambda: self.bell.handle(LinkUp()), lambda: None, self.hear)
        self.link = MemoryLink(handlers, self.clock)
        self.bell.attach(self.link, lambda: self.line)

    def hear(self, topic, payload):
        self.bell.handle(FromCenter(topic, payload))

    def press(self):
        self.bell.handle(Actuation("pressed", self.clock.mono_s(), False))

    def receipt(self, alarm_id, at_us=7):
        receipt = AlarmReceipt(alarm_id=alarm_id, committed_at_us=at_us)
        self.link.deliver(topics.down(POLE, "receipt"), encode(receipt))

    def beat(self, seq=1):
        self.link.deliver(topics.CENTER_BEAT, encode(CenterBeat(seq=seq, at_us=seq)))

    def pass_time(self, seconds):
        for _ in range(round(seconds)):
            self.clock.advance(1)
            self.line = replace(self.line, polled_mono_s=self.clock.mono_s())
            self.bell.tick()
            self.bell._tend()

    def idle(self, seconds=0.2):
        """One turn of the loop with nothing in the inbox."""
        self.clock.advance(seconds)
        self.line = replace(self.line, polled_mono_s=self.clock.mono_s())
        self.light.refresh()
        self.bell.tick()
        self.bell._tend()

    def wish(self, ask):
        """Ask through the bell's public methods, and let its thread take it."""
        ask(self.bell)
        while not self.bell._inbox.empty():
            self.bell.handle(self.bell._inbox.get())
        self.bell.tick()

    def sent(self, kind="alarm", message=Alarm):
        topic = topics.test_up(POLE, "alarm") if kind == "test/alarm" else topics.up(POLE, kind)
        return [decode(found.payload, message) for found in self.link.published if found.topic == topic]

    def inspections(self):
        return self.sent("inspection", Inspection)

    def codes(self):
        return [(fault.code, fault.subject) for fault in self.faults.standing()]
