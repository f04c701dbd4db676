"""What the law forbids cannot be expressed as a command (PIPA 25(5): R-AUDIO, R-AIM; R-BELL; R-ACCESS)."""

import json
import re
from pathlib import Path

import msgspec

from agent.contract.operations import (
    MAINTENANCE_MODE_MAX_S,
    OPERATIONS,
    ROLES,
    TEST_MODE_MAX_S,
    Args,
    MaintenanceMode,
    TestMode,
    read_args,
)

ROOT = Path(__file__).parents[2]
FORBIDDEN = re.compile(
    r"audio|sound|voice|mic|listen|speak|talk|siren|"
    r"(^|[-_@|(])(pan|tilt|zoom|ptz|aim|move|turn|preset|off|stop|disable|mute|silence|mask)([-_|)]|$)"
)


def words_of(value: object) -> set[str]:
    """Every name, literal and pattern of a schema."""
    if isinstance(value, dict):
        found = set(value.get("properties", {}))
        found |= {str(word) for word in value.get("enum", [])} | {value.get("pattern", "")}
        return found.union(*(words_of(item) for item in value.values()))
    return set().union(*map(words_of, value)) if isinstance(value, list) else set()


def test_the_catalogue_is_exactly_the_eight_operations():
    assert set(OPERATIONS) == {
        "rebirth",
        "self-test",
        "bell-test",
        "mode",
        "indicator-test",
        "restart-service",
        "reboot",
        "log-export",
    }


def test_no_operation_and_no_argument_touches_sound_or_aim_or_switches_the_bell_off():
    for operation in OPERATIONS.values():
        words = {operation.name} | words_of(msgspec.json.schema(operation.args).get("$defs", {}))
        assert {word for word in words if FORBIDDEN.search(word)} == set()


def test_the_search_for_forbidden_words_would_find_them():
    for word in ("audio-on", "pan", "camera-zoom", "bell-off", "disable", "mute", "ptz", "microphone"):
        assert FORBIDDEN.search(word), word


def test_a_mode_that_keeps_a_press_off_the_desk_ends_by_itself():
    assert (TEST_MODE_MAX_S, MAINTENANCE_MODE_MAX_S) == (15 * 60, 4 * 3600)
    for kind, most in ((TestMode, TEST_MODE_MAX_S), (MaintenanceMode, MAINTENANCE_MODE_MAX_S)):
        field = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]["for_s"]
        assert field["maximum"] == most
        assert field["default"] <= most
        assert type(read_args(OPERATIONS["mode"], {"mode": kind.__struct_config__.tag})) is kind


def test_no_service_of_the_machine_but_ours_can_be_restarted_and_none_can_be_stopped():
    schema = msgspec.json.schema(OPERATIONS["restart-service"].args)["$defs"]["RestartServiceArgs"]
    assert list(schema["properties"]) == ["service"]
    assert schema["properties"]["service"]["pattern"].startswith("^(bell|health|upload|camera@")


def test_every_argument_is_closed_and_bounded():
    def kinds(base: type) -> set[type]:
        return {base}.union(*map(kinds, base.__subclasses__()))

    for kind in kinds(Args):
        schema = msgspec.json.schema(kind)["$defs"][kind.__name__]
        assert schema["additionalProperties"] is False
        for field in schema["properties"].values():
            assert {"maximum", "pattern", "enum"} & field.keys(), (kind, field)


def test_every_operation_names_its_roles_and_its_rate_and_reboot_needs_two_officers():
    for operation in OPERATIONS.values():
        assert operation.roles and operation.roles <= set(ROLES)
        assert operation.most >= 1 and operation.window_s >= 60
    assert {name for name, operation in OPERATIONS.items() if operation.destructive} == {"reboot"}
    assert "operator" not in OPERATIONS["reboot"].roles | OPERATIONS["mode"].roles


def test_the_page_names_every_operation_with_its_roles():
    page = (ROOT / "docs" / "contract" / "command.md").read_text(encoding="utf-8")
    for name, operation in OPERATIONS.items():
        (row,) = re.findall(rf"^\| `{name}` \|.*$", page, re.MULTILINE)
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert set(cells[2].split(", ")) == operation.roles
        assert cells[3] == ("two" if operation.destructive else "one")
        assert cells[4] == f"{operation.most} in {operation.window_s} s"


def test_the_payloads_schema_is_closed():
    schema = json.loads((ROOT / "docs" / "contract" / "schemas" / "command.json").read_text(encoding="utf-8"))
    assert schema["$defs"]["Command"]["additionalProperties"] is False


def test_the_machines_rule_lets_the_bell_restart_ours_and_reboot_and_nothing_else():
    rule = (ROOT / "systemd" / "polkit" / "50-pole-agent.rules").read_text(encoding="utf-8")
    (pattern,) = re.findall(r"/\^(.+)\$/\.test", rule)
    units = re.compile(pattern.replace(r"\.", "."))
    assert all(units.fullmatch(f"pole-{name}.service") for name in ("bell", "health", "upload", "camera@front"))
    assert not any(units.fullmatch(name) for name in ("ssh.service", "pole-x.service", "pole-camera@A.service"))
    assert re.findall(r'lookup\("verb"\) === "(.+?)"', rule) == ["restart"]
    assert set(re.findall(r'action\.id === "(.+?)"', rule)) == {
        "org.freedesktop.systemd1.manage-units",
        "org.freedesktop.login1.reboot",
        "org.freedesktop.login1.reboot-multiple-sessions",
    }
