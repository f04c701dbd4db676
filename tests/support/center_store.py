"""A store on disk with a clock that moves only when told."""

from pathlib import Path

from center.store import Store

START_US = 1_790_000_000_000_000


class CenterClock:
    """The center's UTC, in microseconds."""

    def __init__(self) -> None:
        self.us = START_US

    def __call__(self) -> int:
        return self.us

    def advance(self, seconds: float) -> None:
        self.us += round(seconds * 1_000_000)


def open_store(directory: Path, clock: CenterClock | None = None, **options: bool) -> Store:
    return Store(directory / "center.sqlite", clock or CenterClock(), **options)
