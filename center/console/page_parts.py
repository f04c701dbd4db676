"""What nearly every page of the console is made from."""

from collections.abc import Callable
from dataclasses import dataclass

from center.console.places import Places
from center.console.rendering import Renderer
from center.console.status_strip import StatusStrip
from center.console.visit import Gate
from center.store import Store


@dataclass(frozen=True)
class PageParts:
    """Who may come in, how a page is drawn, what the center knows, and the center's UTC in microseconds."""

    gate: Gate
    renderer: Renderer
    store: Store
    strip: StatusStrip
    places: Places
    now_us: Callable[[], int]
