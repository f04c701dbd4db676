"""Canonical JSON: one value, one text; what has no single text is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.canonical_json import canonical_bytes, sha256_hex
from agent.contract.errors import ContractError
from agent.contract.messages import ClockState

INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def test_keys_are_sorted_by_utf_16_as_the_rfc_shows() -> None:
    # RFC 8785, 3.2.3: the example of its sorting section.
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    order = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonical_bytes(dict.fromkeys(keys, 0)))) == order


def test_text_is_utf_8_and_only_what_must_be_is_escaped() -> None:
    assert canonical_bytes({"비상벨": 'a"\\\n\x01é'}) == '{"비상벨":"a\\"\\\\\\n\\u0001é"}'.encode()


def test_structs_are_written_by_their_fields() -> None:
    clock = ClockState(synced=True, source="ntp", error_us=1200)
    assert canonical_bytes(clock) == b'{"error_us":1200,"source":"ntp","synced":true}'


@given(VALUES)
def test_the_canonical_form_means_the_same_and_is_its_own_canonical_form(value: object) -> None:
    text = canonical_bytes(value)
    assert json.loads(text) == value
    assert canonical_bytes(json.loads(text)) == text


@pytest.mark.parametrize("value", [1.5, 0.0, float("nan"), {"a": [{"b": 2.0}]}, 2**53, -(2**53), "\ud800"])
def test_a_value_without_one_text_is_refused(value: object) -> None:
    with pytest.raises(ContractError):
        canonical_bytes(value)


def test_a_digest_is_64_lower_case_digits() -> None:
    assert sha256_hex(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
