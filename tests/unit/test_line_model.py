"""The line against a hand on a button, a knife, water and time in any order (hypothesis)."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.bell.line import Line, LineLimits

LIMITS = LineLimits(settle_s=0.2, mended_s=5.0, stuck_s=5.0)
PAIRS = {"idle": (False, False), "pressed": (True, True), "cut": (False, True), "short": (True, False)}
STEP_S = 0.05


class ButtonAndCable(RuleBasedStateMachine):
    """The model: which way the contacts stand, since when, and whether this departure from idle was announced."""

    @initialize()
    def begin(self):
        self.line = Line(True, LIMITS)
        self.now = 0.0
        self.stands = "idle"
        self.since = 0.0
        self.departed = False
        self.announced = 0
        self.see("idle")

    def see(self, pair):
        before = self.line
        if pair != self.stands:
            self.stands, self.since = pair, self.now
        self.line, actuation = self.line.sample(self.now, *PAIRS[pair])
        if pair == "idle":
            returned = self.departed
            self.announced += actuation is not None
            assert not returned or self.announced, "a departure from idle stayed silent"
            self.departed, self.announced = False, 0
        else:
            self.departed = True
            self.announced += actuation is not None
        moved = any(now and not was for now, was in zip(PAIRS[pair], (before.no_active, before.nc_active), strict=True))
        if before.kind in ("cut", "short") and moved and not before.announced:
            assert actuation is not None, "in a standing fault every further movement alarms"
        rose = pair == "pressed" and (before.no_active, before.nc_active) == (False, False)
        if rose:
            assert actuation is not None, "a press from idle is announced at once"
        if actuation is not None:
            assert actuation.at_mono_s == self.now
            assert actuation.held_at_boot == before.booting

    @rule(pair=st.sampled_from(sorted(PAIRS)), polls=st.integers(1, 8))
    def hold(self, pair, polls):
        for _ in range(polls):
            self.now += STEP_S
            self.see(pair)

    @rule(pair=st.sampled_from(sorted(PAIRS)), seconds=st.floats(1.0, 12.0))
    def hold_long(self, pair, seconds):
        self.now += STEP_S
        self.see(pair)
        self.now += seconds
        self.see(pair)

    @invariant()
    def a_state_that_settled_is_shown_as_what_it_is(self):
        if not hasattr(self, "line") or self.now - self.since < LIMITS.settle_s + 1e-9:
            return
        shown = self.line.shown(self.now)
        faults = self.line.standing_faults(self.now)
        if self.stands in ("cut", "short"):
            assert shown == self.stands and f"bell-line-{self.stands}" in faults
        elif self.stands == "idle":
            assert shown in ("idle", "contact-fault")
            assert not {"bell-line-cut", "bell-line-short", "bell-stuck"} & set(faults)
        else:
            assert shown in ("pressed", "stuck", "cut", "short")

    @invariant()
    def good_means_idle_without_a_fault(self):
        if hasattr(self, "line") and self.line.good:
            assert self.line.standing_faults(self.now) == {}
            assert self.line.shown(self.now) == "idle"

    @invariant()
    def a_press_that_does_not_end_is_stuck(self):
        if not hasattr(self, "line") or self.stands != "pressed":
            return
        held_s = self.now - self.since
        if held_s <= LIMITS.stuck_s:
            return
        assert {"bell-stuck", "bell-line-cut", "bell-line-short"} & set(self.line.standing_faults(self.now))


TestButtonAndCable = ButtonAndCable.TestCase
TestButtonAndCable.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
