"""The shipped fake: deterministic, and it fails as its script says."""

import itertools

import pytest

from agent.camera.frame_source import EncodedFrame
from agent.camera.synthetic_source import FaultKind, SyntheticFault, SyntheticSource
from agent.clock import SimulatedClock
from agent.errors import SourceError


def make(*faults: SyntheticFault) -> SyntheticSource:
    return SyntheticSource(SimulatedClock(), faults=faults)


def some(source: SyntheticSource, count: int) -> list[EncodedFrame]:
    source.open()
    return list(itertools.islice(source.frames(), count))


def test_two_sources_deliver_the_same_bytes() -> None:
    assert some(make(), 40) == some(make(), 40)


@pytest.mark.parametrize("kind", ["stall", "end", "error"])
def test_it_fails_after_so_many_frames_and_can_be_opened_again(kind: FaultKind) -> None:
    source = make(SyntheticFault(kind, 7))
    source.open()
    seen = 0
    with pytest.raises(SourceError):
        for _ in source.frames():
            seen += 1
    assert seen == 7
    assert len(some(source, 20)) == 20


def test_a_stall_lasts_the_read_timeout() -> None:
    clock = SimulatedClock()
    source = SyntheticSource(clock, paced=False, read_timeout_s=5, faults=[SyntheticFault("stall", 3)])
    source.open()
    began_s = clock.mono_s()
    with pytest.raises(SourceError, match="sent no frame for 5 s"):
        list(source.frames())
    assert clock.mono_s() - began_s == 5


def test_it_refuses_to_open_once() -> None:
    source = make(SyntheticFault("refuse-open"))
    with pytest.raises(SourceError, match="refused"):
        source.open()
    assert len(some(source, 3)) == 3


@pytest.mark.parametrize(("kind", "seconds"), [("jump-back", -10), ("jump-ahead", 10)])
def test_its_clock_jumps_on_command(kind: FaultKind, seconds: int) -> None:
    frames = some(make(SyntheticFault(kind, 5)), 10)
    steps = [later.dts - earlier.dts for earlier, later in itertools.pairwise(frames)]
    assert steps[4] == seconds * 90_000 + 6000
    assert set(steps[:4] + steps[5:]) == {6000}
