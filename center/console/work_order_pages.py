"""One work order: the assisted press test, on a phone, at the pole (R-INSPECT).

Rules:
* its buttons sign commands, so only a person's certificate presses them, with that officer's own command key: the name
  of a session by link is only what its user typed (ADR 0002);
* every command of an order begins its reason with the order's number, so that the pole's book names it;
* a challenge is answered by pressing again: the command is signed anew with the pole's nonce.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from agent.contract.refusals import REFUSALS
from center.commands.signing import Arg, CommandOffice, Order
from center.console.access import Session
from center.console.catalogue import Catalogue
from center.console.coverage_view import PointView, point_view
from center.console.mode_board import ModeBoard
from center.console.page_parts import PageParts
from center.console.press_test import FORGET_US, MODE_S, PRESS_S, PressTest, judge_press_test
from center.console.visit import Visit
from center.errors import ConflictError, PkiError
from center.store.commands import CommandRow
from center.store.work_orders import WorkOrderRow

LOOK_BACK = 300
AHEAD_US = 60_000_000

STEPS: Mapping[str, tuple[str, Mapping[str, Arg]]] = {
    "start": ("mode", {"mode": "test", "for_s": MODE_S}),
    "press": ("bell-test", {"wait_s": PRESS_S}),
    "end": ("mode", {"mode": "normal"}),
}


@dataclass(frozen=True)
class PointLine:
    """One point of the result; `next_step` only for a failed one."""

    name: str
    result: str
    value: str
    detail: str
    told: PointView


def refused_text(row: CommandRow, words: Catalogue) -> str:
    """Return why a command was not obeyed, in the visitor's language."""
    texts = next((texts for code, texts in REFUSALS.items() if code == row.code), None)
    reason = texts[0 if words.language == "ko" else 1] if texts else row.detail or row.code
    return words.text(f"order.command_{row.state}", reason=reason)


class WorkOrderPages:
    """The page of one work order. `office` signs, `can_sign` says whether an officer has a key here."""

    def __init__(
        self, parts: PageParts, modes: ModeBoard, office: CommandOffice, can_sign: Callable[[str], bool]
    ) -> None:
        self._parts = parts
        self._modes = modes
        self._office = office
        self._can_sign = can_sign

    def routes(self) -> list[Route]:
        """Return the page's routes."""
        return [
            Route("/work-orders/{order}", self._parts.gate.page(self.page)),
            Route("/fragments/work-orders/{order}", self._parts.gate.page(self.fragment)),
            Route("/work-orders/{order}/{step}", self._parts.gate.action(self.step), methods=["POST"]),
        ]

    def page(self, visit: Visit) -> Response:
        """Show the order with its frame."""
        return self._parts.renderer.page(visit, "work_order.html", strip=self._parts.strip.read(), **self._facts(visit))

    def fragment(self, visit: Visit) -> Response:
        """Show the order's steps alone."""
        return self._parts.renderer.page(visit, "_work_order.html", **self._facts(visit))

    def step(self, visit: Visit, _fields: Mapping[str, str]) -> Response:
        """Sign and send the command of a step."""
        order = self._order(visit)
        step = STEPS.get(visit.request.path_params["step"])
        if step is None:
            raise HTTPException(404, f"a work order knows {', '.join(STEPS)}")
        if not visit.session.by_certificate:
            raise HTTPException(403, visit.words.text("order.needs_certificate"))
        operation, fixed = step
        args = {**fixed, "work_order": order.work_order} if operation == "bell-test" else fixed
        reason = f"{order.work_order}: {visit.words.text('order.command_reason')}"
        wanted = Order(order.pole, operation, args, reason, self._nonce(order, operation, visit.session.officer))
        try:
            self._office.issue(wanted, visit.session.officer)
        except PkiError as exc:
            raise HTTPException(409, visit.words.text("order.no_key", officer=visit.session.officer)) from exc
        except ConflictError as exc:
            raise HTTPException(409, str(exc)) from exc
        if visit.wants_fragment:
            return Response(status_code=204)
        return RedirectResponse(f"/work-orders/{order.work_order}", 303)

    def may_command(self, session: Session) -> bool:
        """Whether this person may sign: a certificate, and a command key at this center."""
        return session.by_certificate and self._can_sign(session.officer)

    def _facts(self, visit: Visit) -> dict[str, Any]:
        order = self._order(visit)
        test = self._judge(order)
        points: list[PointLine] = []
        if test.inspection is not None:
            points = [
                PointLine(point.name, point.result, point.value, point.detail, point_view(point.name, 1, visit.words))
                for point in test.inspection.points
            ]
        return {
            "order": order,
            "place": self._parts.places.of(order.pole),
            "spot": self._parts.places.spot(order.pole),
            "test": test,
            "points": points,
            "problem": refused_text(test.problem, visit.words) if test.problem else "",
            "by_certificate": visit.session.by_certificate,
            "may_command": self.may_command(visit.session),
            "arrived": self._arrived(order.pole, test),
        }

    def _judge(self, order: WorkOrderRow) -> PressTest:
        now_us = self._parts.now_us()
        inspections = self._parts.store.inspections.of_pole(order.pole, now_us - FORGET_US, now_us + AHEAD_US)
        modes = (mode for mode in self._modes.read() if mode.pole == order.pole and mode.mode == "test")
        reported = next((mode.until_us for mode in modes), None)
        presses = [row for row in inspections if row.kind == "press-test"]
        return judge_press_test(self._commands(order), presses, now_us, mode_until_us=reported)

    def _commands(self, order: WorkOrderRow) -> list[CommandRow]:
        prefix = f"{order.work_order}:"
        rows = self._parts.store.commands.newest(LOOK_BACK)
        return [row for row in rows if row.pole == order.pole and row.reason.startswith(prefix)]

    def _nonce(self, order: WorkOrderRow, operation: str, officer: str) -> str:
        """Return the nonce of the challenge that this press answers, "" when there is none."""
        newest = next((row for row in self._commands(order) if row.op == operation and row.officer == officer), None)
        if newest is None or newest.state != "challenged":
            return ""
        replies = self._parts.store.commands.replies(newest.jti)
        return replies[-1].nonce if replies else ""

    def _arrived(self, pole: str, test: PressTest) -> int | None:
        """Return when a test press of this attempt arrived, None before."""
        if test.press_until_us is None:
            return None
        presses = self._parts.store.alarms.test_presses(test.press_until_us - PRESS_S * 1_000_000, 50)
        return next((press.committed_at_us for press in presses if press.pole == pole), None)

    def _order(self, visit: Visit) -> WorkOrderRow:
        order = self._parts.store.work_orders.get(visit.request.path_params["order"])
        if order is None:
            raise HTTPException(404, "there is no such work order")
        return order
