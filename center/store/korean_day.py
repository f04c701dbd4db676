"""Civil days and months of Korea (KST, UTC+9, no daylight saving since 1988) as spans of UTC microseconds. Pure."""

from datetime import UTC, date, datetime, timedelta, timezone

KST = timezone(timedelta(hours=9), "KST")


def day_of(at_us: int) -> date:
    """Return the Korean day of an instant."""
    return (datetime.fromtimestamp(0, UTC) + timedelta(microseconds=at_us)).astimezone(KST).date()


def day_span(day: date) -> tuple[int, int]:
    """Return [start, end) of a Korean day."""
    return _start_us(day), _start_us(day + timedelta(days=1))


def month_span(month: date) -> tuple[int, int]:
    """Return [start, end) of the Korean month that holds `month`."""
    first = month.replace(day=1)
    return _start_us(first), _start_us((first + timedelta(days=32)).replace(day=1))


def month_name(month: date) -> str:
    """Return the month as `2026-11`."""
    return f"{month.year:04d}-{month.month:02d}"


def _start_us(day: date) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=KST).timestamp()) * 1_000_000
