"""Where each pole stands, in words: `places_file`, a JSON object pole -> place, read again when it changes."""

import json
import logging
import threading
from pathlib import Path

log = logging.getLogger(__name__)


class Places:
    """Pole names to places. A broken file keeps the last good words: an alarm is shown in any case."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._read_at_ns = -1
        self._places: dict[str, str] = {}

    def of(self, pole: str) -> str:
        """Return the place of a pole, "" when nobody wrote it down."""
        with self._lock:
            self._read_if_changed()
            return self._places.get(pole, "")

    def _read_if_changed(self) -> None:
        if self._file is None:
            return
        try:
            changed_at_ns = self._file.stat().st_mtime_ns
            if changed_at_ns == self._read_at_ns:
                return
            self._read_at_ns = changed_at_ns
            document = json.loads(self._file.read_text(encoding="utf-8"))
            self._places = {str(pole): str(place) for pole, place in dict(document).items()}
        except (OSError, ValueError, TypeError) as exc:
            log.warning("places file not readable file=%s error=%s", self._file, exc)
