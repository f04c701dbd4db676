"""Holds what really went over the broker to the published contract: a channel of its own, a payload of its schema."""

import functools
import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from agent.contract.channels import channel_of

CONTRACT = Path(__file__).resolve().parents[2] / "docs" / "contract"


@functools.cache
def _validators() -> dict[str, Draft202012Validator | None]:
    """Read them from the published document, not from the code that wrote it."""
    document = json.loads((CONTRACT / "asyncapi.json").read_text(encoding="utf-8"))
    found: dict[str, Draft202012Validator | None] = {}
    for name, channel in document["channels"].items():
        payload: dict[str, Any] = channel["messages"][name].get("payload", {})
        reference = payload.get("schema", {}).get("$ref", "")
        schema = json.loads((CONTRACT / reference).read_text(encoding="utf-8")) if reference else None
        found[name] = Draft202012Validator(schema) if schema else None
    return found


def breach(topic: str, payload: bytes) -> str:
    """Return what about a message is not in the contract, "" when all of it is."""
    channel = channel_of(topic)
    if channel is None:
        return f"{topic} is no channel of the contract"
    validator = _validators()[channel.name]
    if validator is None:
        return ""
    try:
        errors = list(validator.iter_errors(json.loads(payload)))
    except ValueError as error:
        return f"{topic} is not JSON: {error}"
    return f"{topic}: {errors[0].message}" if errors else ""
