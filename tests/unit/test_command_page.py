"""docs/contract/command.md says what the code does, and its example is real."""

import re
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.contract import topics
from agent.contract.command import Accept, CommandSigner, Context, judge
from agent.contract.jws import b64url_decode
from agent.contract.key_set import make_key_set, parse_key_set
from agent.contract.refusals import REFUSALS
from agent.contract.signed_note import NoteSigner
from agent.mqtt.commands import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "contract" / "command.md").read_text(encoding="utf-8")
KEY_LINE = re.search(r"^    (key crew kim \S+)$", PAGE, re.MULTILINE)
EXAMPLE = re.search(r"```\n(\S+\.\S+\.\S+)\n```", PAGE)
RFC_8037_A1 = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"


def test_the_example_is_accepted_by_a_pole_with_that_key():
    assert KEY_LINE and EXAMPLE
    root = NoteSigner.generate("root").verifier_key
    keys = parse_key_set(make_key_set(1, 1, [root], []).text() + KEY_LINE[1] + "\n")
    now_us = 1_790_000_010_000_000
    verdict = judge(EXAMPLE[1].encode(), Context("gangseo-0142", keys, now_us, clock_synced=True))
    assert isinstance(verdict, Accept)
    assert verdict.signers[0].officer == "kim"
    signer = CommandSigner(Ed25519PrivateKey.from_private_bytes(b64url_decode(RFC_8037_A1)))
    assert signer.sign(verdict.command).decode() == EXAMPLE[1]


def test_the_page_names_every_refusal_and_no_other():
    section = PAGE[PAGE.index("## What the pole MUST check") : PAGE.index("### Challenge")]
    table = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    assert set(re.findall(r"`([a-z-]+)`", table)) == REFUSALS.keys()


def test_the_page_names_the_topics_of_the_code():
    for kind in KINDS:
        assert f"`{topics.down('{pole}', kind)}`" in PAGE
    for kind in ("reply", "audit"):
        assert f"`{topics.up('{pole}', kind)}`" in PAGE
