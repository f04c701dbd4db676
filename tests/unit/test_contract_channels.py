import json
from pathlib import Path

import pytest
from support.payload_check import breach

from agent.contract.channels import CHANNELS, channel_of
from agent.contract.messages import CenterBeat, encode
from agent.contract.topics import CENTER_BEAT, down, pole_of, up

DOCUMENT = Path(__file__).parents[2] / "docs" / "contract" / "asyncapi.json"
README = DOCUMENT.with_name("README.md")


def test_every_upward_channel_is_one_that_the_center_can_read() -> None:
    for channel in CHANNELS:
        if channel.sender == "pole":
            assert pole_of(channel.address.replace("{pole}", "pole-1")) is not None


def test_the_document_and_the_page_name_every_channel() -> None:
    document, page = json.loads(DOCUMENT.read_text()), README.read_text()
    assert {channel["address"] for channel in document["channels"].values()} == {c.address for c in CHANNELS}
    assert [c.address for c in CHANNELS if f"`{c.address}`" not in page] == []


def test_every_reference_of_the_document_is_there() -> None:
    text = DOCUMENT.read_text()
    references = [part.split('"', 1)[0] for part in text.split('"$ref": "')[1:]]
    document = json.loads(text)
    for reference in references:
        if reference.startswith("./"):
            assert (DOCUMENT.parent / reference).exists(), reference
        else:
            assert reference.removeprefix("#/channels/") in document["channels"], reference


def test_only_the_state_of_the_session_is_retained_and_no_bell_is_qos_0() -> None:
    assert [c.name for c in CHANNELS if c.retain] == ["status"]
    assert {c.name for c in CHANNELS if c.qos == 0} == {"heartbeat", "centerBeat"}


@pytest.mark.parametrize(
    "topic", ["ps/v1/p/up/voice", "ps/v1/p/up/alarm/more", "ps/v1/p/down/bell-off", "ps/v2/p/up/alarm"]
)
def test_a_topic_of_no_channel_is_a_breach(topic: str) -> None:
    assert channel_of(topic) is None
    assert "no channel" in breach(topic, b"{}")


def test_a_payload_that_does_not_follow_its_schema_is_a_breach() -> None:
    good = encode(CenterBeat(seq=1, at_us=2))
    assert breach(CENTER_BEAT, good) == ""
    assert breach(CENTER_BEAT, good.replace(b'"seq":1', b'"seq":"one"')) != ""
    assert "not JSON" in breach(up("p", "alarm"), b"\xff")
    assert breach(down("p", "command"), b"any.signed.text") == ""
