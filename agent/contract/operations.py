"""What a signed command may ask of a pole: the whole catalogue, as data (R-ACCESS, R-AIM, R-AUDIO, R-BELL).

Rules:
* what is not a row of `OPERATIONS` cannot be asked; arguments are typed, bounded, and an unknown one is refused;
* nothing here touches sound, turns or zooms a camera, or switches a bell off; `tests/policy` holds that;
* a mode that keeps a press off the desk ends by itself: test after 15 minutes, maintenance after 4 hours;
* `destructive` needs the signatures of two different officers, both of an allowed role;
* `most` in `window_s` bounds what one stolen key can do; a pole counts accepted commands, whoever signed them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

import msgspec

from agent.contract.errors import ContractError

Role = Literal["operator", "crew", "investigator", "supervisor", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
TEST_MODE_MAX_S = 15 * 60
MAINTENANCE_MODE_MAX_S = 4 * 3600
LOG_LINES_MAX = 500

_SERVICE = r"^(bell|health|upload|camera@[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$(?!\n)"
Service = Annotated[str, msgspec.Meta(pattern=_SERVICE)]


class Args(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the typed arguments of an operation."""


class NoArgs(Args, frozen=True, kw_only=True):
    """The operation takes no arguments."""


class BellTestArgs(Args, frozen=True, kw_only=True):
    """How long a person has to press the button, seconds, and the work order it belongs to ("" for none)."""

    wait_s: Annotated[int, msgspec.Meta(ge=10, le=300)] = 120
    work_order: Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9][a-z0-9-]{0,99})?$(?!\n)")] = ""


class NormalMode(Args, frozen=True, kw_only=True, tag_field="mode", tag="normal"):
    """Every press is real, from now on."""


class TestMode(Args, frozen=True, kw_only=True, tag_field="mode", tag="test"):
    """A press is a test; normal again after `for_s` seconds."""

    for_s: Annotated[int, msgspec.Meta(ge=60, le=TEST_MODE_MAX_S)] = TEST_MODE_MAX_S


class MaintenanceMode(Args, frozen=True, kw_only=True, tag_field="mode", tag="maintenance"):
    """The crew works on the pole; normal again after `for_s` seconds."""

    for_s: Annotated[int, msgspec.Meta(ge=60, le=MAINTENANCE_MODE_MAX_S)] = 3600


ModeArgs = NormalMode | TestMode | MaintenanceMode


class IndicatorTestArgs(Args, frozen=True, kw_only=True):
    """How long each lamp is shown, seconds."""

    each_s: Annotated[int, msgspec.Meta(ge=1, le=10)] = 2


class RestartServiceArgs(Args, frozen=True, kw_only=True):
    """Which service of the pole: bell, health, upload or camera@<id>."""

    service: Service


class LogExportArgs(Args, frozen=True, kw_only=True):
    """The newest `lines` lines of one service's journal."""

    service: Service
    lines: Annotated[int, msgspec.Meta(ge=1, le=LOG_LINES_MAX)] = 100


AnyArgs = NoArgs | BellTestArgs | ModeArgs | IndicatorTestArgs | RestartServiceArgs | LogExportArgs


@dataclass(frozen=True)
class Operation:
    """One row: who may ask it, whether it needs two officers, and how often it may happen."""

    name: str
    args: Any  # a type, or a union of types, derived from Args
    roles: frozenset[Role]
    destructive: bool
    most: int
    window_s: int


def _row(name: str, args: Any, roles: str, most: int, window_s: int, *, destructive: bool = False) -> Operation:
    allowed = frozenset(role for role in ROLES if role in roles.split())
    return Operation(name, args, allowed, destructive, most, window_s)


OPERATIONS: Mapping[str, Operation] = {
    row.name: row
    for row in (
        _row("rebirth", NoArgs, "operator crew supervisor admin", 10, 60),
        _row("self-test", NoArgs, "operator crew supervisor admin", 10, 3600),
        _row("bell-test", BellTestArgs, "crew supervisor admin", 10, 3600),
        _row("mode", ModeArgs, "crew supervisor admin", 20, 3600),
        _row("indicator-test", IndicatorTestArgs, "operator crew supervisor admin", 10, 3600),
        _row("restart-service", RestartServiceArgs, "crew supervisor admin", 5, 3600),
        _row("reboot", NoArgs, "crew supervisor admin", 2, 3600, destructive=True),
        _row("log-export", LogExportArgs, "crew investigator supervisor admin", 10, 3600),
    )
}


def read_args(operation: Operation, args: Mapping[str, Any]) -> AnyArgs:
    """Return the typed arguments.

    Raises:
        ContractError: one is unknown, missing, of the wrong type or out of its bounds.
    """
    try:
        read: AnyArgs = msgspec.convert(dict(args), type=operation.args)
    except msgspec.ValidationError as exc:
        raise ContractError(f"{operation.name} does not take these arguments: {exc}") from exc
    return read
