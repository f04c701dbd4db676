"""When to try again (agent.upload.backoff)."""

from agent.upload.backoff import Backoff, SetAside


def after(failures: int) -> float:
    backoff = Backoff()
    for _ in range(failures):
        backoff = backoff.failed()
    return backoff.delay_s()


def test_waits_double_from_one_second_to_a_minute():
    assert [after(n) for n in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]


def test_a_thousand_failures_still_wait_one_minute():
    assert after(1000) == 60


def test_a_refused_segment_waits_and_the_others_do_not():
    aside = SetAside()
    aside.refuse("a", 100.0)
    assert aside.waiting("a", 100.5)
    assert not aside.waiting("a", 101.0)
    assert not aside.waiting("b", 100.5)


def test_each_refusal_of_one_segment_doubles_its_own_wait_only():
    aside = SetAside()
    for _ in range(3):
        aside.refuse("a", 0.0)
    aside.refuse("b", 0.0)
    assert aside.waiting("a", 3.9) and not aside.waiting("a", 4.0)
    assert not aside.waiting("b", 1.0)


def test_no_segment_waits_longer_than_a_quarter_of_an_hour():
    aside = SetAside()
    for _ in range(50):
        aside.refuse("a", 0.0)
    assert aside.waiting("a", 899.0) and not aside.waiting("a", 900.0)


def test_an_accepted_segment_is_forgotten():
    aside = SetAside()
    aside.refuse("a", 0.0)
    aside.accept("a")
    assert len(aside) == 0 and not aside.waiting("a", 0.0)
