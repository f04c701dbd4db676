"""Which recipients the center can open: the custodian's public `recipients.json`, read again when it changes.

Rule: a file that is missing or unreadable knows nobody; then nothing is accepted, rather than kept unopenable.
"""

import json
import logging
import threading
from pathlib import Path
from typing import Any

from agent.contract.age_format import recipient_id

log = logging.getLogger(__name__)

FILE = "recipients.json"


class KnownRecipients:
    """Callable: whether the center holds a key for this recipient id."""

    def __init__(self, key_dir: Path) -> None:
        self._file = key_dir / FILE
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._ids: frozenset[str] = frozenset()

    def __call__(self, recipient: str) -> bool:
        """Return whether a key for `recipient` (an id) is at the center."""
        with self._lock:
            self._refresh()
            return recipient in self._ids

    def _refresh(self) -> None:
        try:
            stat = self._file.stat()
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if seen == self._seen:
                return
            self._ids = frozenset(recipient_id(text) for text in _recipients(json.loads(self._file.read_bytes())))
            self._seen = seen
        except (OSError, ValueError) as exc:
            if self._ids or self._seen is None:
                log.error("recipients not readable file=%s reason=%s", self._file, exc)
            self._ids, self._seen = frozenset(), (0, 0, 0)


def _recipients(document: Any) -> list[str]:
    """Return every age recipient in the document, wherever it stands."""
    if isinstance(document, str):
        return [document] if document.startswith("age1") else []
    inner = document.values() if isinstance(document, dict) else document if isinstance(document, list) else ()
    return [text for value in inner for text in _recipients(value)]
