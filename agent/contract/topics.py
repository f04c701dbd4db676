"""MQTT topic names (`ps/v1/...`); the broker's access list in `center/alarms` follows them.

A pole writes only below `ps/v1/{pole}/up/` and reads only `ps/v1/{pole}/down/` and `ps/v1/center/`.
"""

ROOT = "ps/v1"
CENTER_BEAT = f"{ROOT}/center/beat"
CENTER_STATE = f"{ROOT}/center/state"


def up(pole: str, kind: str) -> str:
    """Return the topic on which `pole` sends messages of `kind` (alarm, heartbeat, status)."""
    return f"{ROOT}/{pole}/up/{kind}"


def test_up(pole: str, kind: str) -> str:
    """Return the topic of `kind` while the bell is being tested; nothing on it ever counts as real (R-BELL)."""
    return f"{ROOT}/{pole}/up/test/{kind}"


def down(pole: str, kind: str) -> str:
    """Return the topic on which the center sends `kind` (receipt, answer) to `pole`."""
    return f"{ROOT}/{pole}/down/{kind}"


def pole_of(topic: str) -> tuple[str, str] | None:
    """Return (pole, kind) of an upward topic, or None when it is not one; a test's kind begins with "test/".

    >>> pole_of("ps/v1/gangseo-0142/up/alarm")
    ('gangseo-0142', 'alarm')
    """
    parts = topic.split("/")
    if len(parts) < 5 or not topic.startswith(f"{ROOT}/") or parts[3] != "up":
        return None
    is_test = len(parts) == 6 and parts[4] == "test"
    return (parts[2], "/".join(parts[4:])) if len(parts) == 5 or is_test else None
