"""Byte ranges as a video player asks for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from center.console.byte_range import ByteRange, UnsatisfiableRangeError, parse_range
from center.console.recording_pages import part_of

CONTENT = bytes(range(100))


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-", (0, 100)),
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
    ],
)
def test_a_range_gives_its_bytes(header: str, span: tuple[int, int]) -> None:
    assert parse_range(header, 100) == ByteRange(*span)


@pytest.mark.parametrize(
    "header", [None, "", "bytes=", "bytes=-", "bytes=5-3", "bytes=a-b", "items=0-1", "bytes=0-1,3-4"]
)
def test_what_is_no_single_range_gets_the_whole_body(header: str | None) -> None:
    status, body, headers = part_of(CONTENT, header)
    assert (status, body) == (200, CONTENT)
    assert headers == {"Accept-Ranges": "bytes"}


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=500-600", "bytes=-0"])
def test_a_range_beyond_the_end_is_refused_with_the_length(header: str) -> None:
    with pytest.raises(UnsatisfiableRangeError):
        parse_range(header, 100)
    assert part_of(CONTENT, header) == (416, b"", {"Content-Range": "bytes */100"})


def test_a_part_names_its_place() -> None:
    status, body, headers = part_of(CONTENT, "bytes=2-4")
    assert (status, body, headers["Content-Range"]) == (206, b"\x02\x03\x04", "bytes 2-4/100")


def test_an_empty_body_has_no_range() -> None:
    assert part_of(b"", "bytes=0-")[0] == 416
    assert part_of(b"", None)[:2] == (200, b"")


@given(st.text(max_size=30), st.integers(0, 200))
def test_no_header_breaks_it_or_reaches_outside(header: str, total: int) -> None:
    try:
        span = parse_range(f"bytes={header}", total)
    except UnsatisfiableRangeError:
        return
    assert span is None or 0 <= span.start < span.end <= total
