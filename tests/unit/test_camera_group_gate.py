"""The gate, with streams drawn as strings: upper case finds room, lower case finds none."""

import pytest

from agent.camera.group_gate import GroupGate


def passed(gate: GroupGate, stream: str) -> str:
    return "".join(
        letter for letter in stream if gate.passes(keyframe=letter in "Ii", room=letter.isupper())
    )  # fmt: skip


@pytest.mark.parametrize(
    ("stream", "through"),
    [
        ("IPPIPP", "IPPIPP"),
        ("IPpPPIP", "IPIP"),
        ("IPiPPIP", "IPIP"),
        ("IPpPiPIP", "IPIP"),
        ("iPPP", ""),
    ],
)
def test_a_frame_without_room_takes_the_rest_of_its_group_with_it(stream: str, through: str) -> None:
    gate = GroupGate()
    assert passed(gate, stream) == through
    assert gate.frames_dropped == len(stream) - len(through)


def test_a_gate_that_begins_shut_waits_for_a_keyframe() -> None:
    gate = GroupGate(shut=True)
    assert (passed(gate, "PPIP"), gate.frames_dropped) == ("IP", 2)


def test_the_frames_of_one_drop_are_counted_apart_from_those_before() -> None:
    gate = GroupGate()
    passed(gate, "IpPIpPP")
    assert (gate.dropped_in_a_row, gate.frames_dropped) == (3, 5)
    gate.open()
    assert (gate.dropped_in_a_row, passed(gate, "P")) == (0, "P")
