"""One thread feeds every page: nothing lost, nothing twice, no slow page holds up the others."""

import asyncio
import threading
from collections.abc import Callable, Sequence

import pytest

from center.console.event_stream import beat, frame
from center.console.feed import QUEUE_SIZE, Feed, Subscriber
from center.errors import StoreError
from center.store import EventRow


class Events:
    """A store's event table in memory."""

    def __init__(self, count: int = 0) -> None:
        self.rows: list[EventRow] = []
        self.asked = threading.Event()
        self.broken = False
        for _ in range(count):
            self.append()

    def append(self, kind: str = "alarm") -> None:
        number = len(self.rows) + 1
        self.rows.append(EventRow(number, number * 1000, kind, {}))

    def newest(self) -> int:
        return len(self.rows)

    def after(self, event_id: int, limit: int) -> Sequence[EventRow]:
        if self.broken:
            raise StoreError("the disk is gone")
        self.asked.set()
        return self.rows[event_id : event_id + limit]


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.002)


def feed_of(events: Events, on_failure: Callable[[], object] = lambda: None) -> Feed:
    feed = Feed(lambda: events, on_failure, poll_s=0.002)
    feed.start()
    assert events.asked.wait(5)
    return feed


def test_every_page_hears_every_event_once_and_in_order() -> None:
    async def story() -> list[list[int]]:
        events = Events(3)
        feed = feed_of(events)
        pages = [feed.subscribe() for _ in range(5)]
        for _ in range(20):
            events.append()
        heard = []
        for page in pages:
            got = [await asyncio.wait_for(page.queue.get(), 5) for _ in range(20)]
            heard.append([event.id for event in got if event])
        feed.stop()
        return heard

    assert asyncio.run(story()) == [list(range(4, 24))] * 5


def test_a_page_that_does_not_keep_up_is_dropped_and_told() -> None:
    async def story() -> tuple[bool, int, bool]:
        slow = Subscriber(asyncio.get_running_loop())
        for number in range(QUEUE_SIZE + 50):
            slow.offer(EventRow(number, 0, "alarm", {}))
        await until(lambda: slow.dropped)
        held = slow.queue.qsize()
        last = [slow.queue.get_nowait() for _ in range(held)][-1]
        return slow.dropped, held, last is None

    assert asyncio.run(story()) == (True, QUEUE_SIZE + 1, True)


def test_a_slow_page_does_not_take_events_from_the_others() -> None:
    async def story() -> int:
        events = Events()
        feed = feed_of(events)
        feed.subscribe()
        quick = feed.subscribe()
        heard = 0
        for _ in range(QUEUE_SIZE * 2):
            events.append()
            event = await asyncio.wait_for(quick.queue.get(), 5)
            heard += event is not None
        feed.stop()
        return heard

    assert asyncio.run(story()) == QUEUE_SIZE * 2


def test_a_page_that_left_is_forgotten() -> None:
    async def story() -> int:
        events = Events()
        feed = feed_of(events)
        gone, here = feed.subscribe(), feed.subscribe()
        feed.unsubscribe(gone)
        events.append()
        await asyncio.wait_for(here.queue.get(), 5)
        feed.stop()
        return gone.queue.qsize()

    assert asyncio.run(story()) == 0


def test_the_end_of_the_console_ends_every_stream() -> None:
    async def story() -> object:
        feed = feed_of(Events())
        page = feed.subscribe()
        feed.stop()
        assert not feed.alive
        return await asyncio.wait_for(page.queue.get(), 5)

    assert asyncio.run(story()) is None


def test_a_page_whose_loop_has_ended_does_no_harm() -> None:
    async def subscribe() -> Subscriber:
        return Subscriber(asyncio.get_running_loop())

    gone = asyncio.run(subscribe())
    gone.offer(EventRow(1, 0, "alarm", {}))
    assert gone.dropped


def test_a_store_that_cannot_be_read_ends_the_feed_loudly(caplog: pytest.LogCaptureFixture) -> None:
    failed = threading.Event()
    events = Events()
    feed = feed_of(events, failed.set)
    events.broken = True
    assert failed.wait(5)
    assert "event feed failed" in caplog.text
    feed.stop()


def test_the_newest_event_of_a_kind_is_known_from_the_start() -> None:
    events = Events(2)
    events.append("object")
    feed = feed_of(events)
    assert feed.latest_us("object") == 3000
    assert feed.latest_us("ledger") is None
    assert feed.latest_us() == 3000
    feed.stop()


def test_an_event_goes_out_with_its_id() -> None:
    assert (
        frame(EventRow(7, 1, "alarm", {"pole": "a\nb"}))
        == b'id: 7\nevent: change\ndata: {"kind": "alarm", "id": 7}\n\n'
    )


def test_a_beat_is_a_comment_for_proxies_and_an_event_for_the_page() -> None:
    assert beat(5) == b": ping\n\nevent: beat\ndata: 5\n\n"
