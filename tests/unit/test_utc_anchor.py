"""Media time becomes UTC without jitter, drift or a second stated twice."""

from agent.recording.utc_anchor import MAX_RATE, STEP_US, UtcAnchor

SEGMENT_US = 10_000_000


def test_media_time_runs_by_itself_between_anchors() -> None:
    assert UtcAnchor(100, 5_000).at(1_100) == 6_000


def test_a_trim_never_moves_the_instant_it_is_made_at() -> None:
    anchor = UtcAnchor(0, 0)
    assert anchor.trimmed(SEGMENT_US, SEGMENT_US + 500_000).utc_us == SEGMENT_US


def test_a_camera_clock_that_runs_slow_is_followed() -> None:
    anchor, error_us = UtcAnchor(0, 0), 0
    for number in range(1, 500):
        pts_us = number * SEGMENT_US
        arrived_us = round(pts_us * 1.0001)
        error_us = arrived_us - anchor.at(pts_us)
        anchor = anchor.trimmed(pts_us, arrived_us)
    assert abs(error_us) < 50_000


def test_media_time_far_behind_is_anchored_anew() -> None:
    arrived_us = SEGMENT_US + STEP_US + 1
    assert UtcAnchor(0, 0).trimmed(SEGMENT_US, arrived_us) == UtcAnchor(SEGMENT_US, arrived_us)


def test_a_clock_set_back_slows_the_mapping_until_both_meet() -> None:
    assert UtcAnchor(0, 0).trimmed(SEGMENT_US, -3_600_000_000).rate == -MAX_RATE
