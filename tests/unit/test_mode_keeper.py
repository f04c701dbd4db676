"""The mode of a running bell: on disk, by the key, and after a restart."""

import pytest

from agent.bell.mode import ModeError
from agent.bell.mode_keeper import KEY, SAVE_S, ModeKeeper
from agent.bell.mode_memory import ModeMemory
from agent.bell.outbox import Outbox, OutboxError
from agent.bell.switch import SimulatedSwitch
from agent.clock import SimulatedClock
from agent.fault_board import FaultBoard


class Kept:
    def __init__(self, directory):
        self.directory = directory
        self.clock = SimulatedClock()
        self.key = SimulatedSwitch()
        self.start("boot-1")

    def start(self, boot):
        self.faults = FaultBoard(self.clock)
        self.outbox = Outbox(self.directory / "outbox.sqlite", self.clock)
        self.keeper = ModeKeeper(ModeMemory(self.outbox), self.key, self.faults, self.clock, lambda: boot)
        self.keeper.begin()

    def restart(self, boot="boot-1", off_s=1.0):
        self.outbox.close()
        self.keeper.close()
        self.clock.advance(off_s)
        self.start(boot)

    def idle(self, seconds=0.4):
        for _ in range(max(round(seconds / 0.2), 1)):
            self.clock.advance(0.2)
            self.keeper.tick(save=True)

    @property
    def mode(self):
        return self.keeper.state.mode


@pytest.fixture
def kept(tmp_path):
    kept = Kept(tmp_path)
    yield kept
    kept.outbox.close()


def test_a_mode_survives_a_restart_and_ends_when_it_should(kept):
    kept.keeper.set("test", 60.0, "kim", "order 7")
    kept.idle()
    kept.restart()
    assert (kept.mode, kept.keeper.state.by) == ("test", "kim")
    kept.idle(60.0)
    assert kept.mode == "normal"
    kept.restart()
    assert kept.mode == "normal"


def test_a_reboot_gives_at_most_the_seconds_since_the_last_saving(kept):
    kept.keeper.set("maintenance", 100.0, "kim", "")
    kept.idle(80.0)
    kept.restart("boot-2", off_s=0.0)
    assert kept.keeper.state.left_s(kept.clock.mono_s()) <= 20.0 + SAVE_S


def test_a_clock_set_back_while_the_pole_was_off_ends_the_mode(kept):
    kept.keeper.set("test", 600.0, "kim", "")
    kept.idle()
    kept.clock.step_utc(-86_400)
    kept.restart("boot-2")
    assert kept.mode == "normal"


def test_the_end_is_told_in_utc_as_it_stands_now(kept):
    assert kept.keeper.until_us() is None
    kept.keeper.set("test", 60.0, "kim", "")
    kept.clock.step_utc(3600)
    assert kept.keeper.until_us() == kept.clock.utc_us() + 60_000_000


def test_each_change_is_logged_with_who_and_why(kept, caplog):
    kept.keeper.set("test", 60.0, "kim", "order 7")
    kept.idle(61.0)
    assert caplog.text.count("mode changed") == 2
    assert "by=kim reason=order 7" in caplog.text and "by=clock" in caplog.text


def test_the_key_is_maintenance_while_turned(kept):
    kept.idle()
    kept.key.set(True)
    kept.idle()
    assert (kept.mode, kept.keeper.state.by) == ("maintenance", KEY)
    kept.key.set(False)
    kept.idle()
    assert kept.mode == "normal"


def test_a_key_left_turned_is_normal_after_4_hours_and_stays_so(kept):
    kept.idle()
    kept.key.set(True)
    kept.idle()
    kept.clock.advance(4 * 3600)
    kept.idle(10)
    assert kept.mode == "normal"
    kept.restart()
    kept.idle(10)
    assert kept.mode == "normal", "a restart with the key turned would begin 4 hours more"


def test_a_key_turned_back_while_the_service_was_down_ends_its_maintenance(kept):
    kept.idle()
    kept.key.set(True)
    kept.idle()
    kept.key.set(False)
    kept.restart()
    assert kept.mode == "maintenance"
    kept.idle()
    assert kept.mode == "normal"


def test_a_key_turned_back_ends_no_mode_that_an_officer_set(kept):
    kept.key.set(True)
    kept.idle()
    kept.keeper.set("test", 600.0, "kim", "")
    kept.key.set(False)
    kept.idle()
    assert (kept.mode, kept.keeper.state.by) == ("test", "kim")


def test_one_wrong_reading_of_the_key_changes_nothing(kept):
    kept.idle()
    for level in (True, False, True, False):
        kept.key.set(level)
        kept.idle(0.2)
    assert kept.mode == "normal"


def test_a_key_that_cannot_be_read_is_a_fault_and_works_again_when_mended(kept):
    kept.key.set(None)
    kept.idle()
    assert [(fault.code, fault.subject) for fault in kept.faults.standing()] == [("hardware-unusable", "key-switch")]
    kept.key.set(False)
    kept.idle(11.0)
    assert kept.faults.standing() == []
    kept.key.set(True)
    kept.idle()
    assert kept.mode == "maintenance"


def test_a_mode_that_cannot_be_saved_holds_and_is_saved_later(kept, monkeypatch):
    kept.keeper.set("test", 60.0, "kim", "")
    with monkeypatch.context() as broken:
        broken.setattr(Outbox, "_connection", lambda _: (_ for _ in ()).throw(OSError(28, "no space left on device")))
        with pytest.raises(OutboxError):
            kept.idle()
    assert kept.mode == "test"
    kept.idle()
    kept.restart()
    assert kept.mode == "test"


def test_a_mode_that_is_refused_changes_nothing(kept):
    with pytest.raises(ModeError):
        kept.keeper.set("maintenance", 5 * 3600, "kim", "")
    assert kept.mode == "normal"
