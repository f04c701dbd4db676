"""The bell's mode on disk: one row in the outbox's database."""

from agent.bell.mode import SavedMode
from agent.bell.outbox import Outbox


class ModeMemory:
    """Reads and writes the row, in the thread that owns the outbox."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def load(self) -> SavedMode | None:
        """Return what was saved last, or None.

        Raises:
            OutboxError: it cannot be read.
        """
        with self._outbox.commit() as db:
            row = db.execute(
                "SELECT mode, left_s, saved_at_us, until_mono_s, boot_id, by_whom, reason FROM mode"
            ).fetchone()
        return None if row is None else SavedMode(*row)

    def save(self, saved: SavedMode) -> None:
        """Commit the mode in place of the last one.

        Raises:
            OutboxError: it is not on disk; after a restart the one before would hold, which ends no later.
        """
        row = (saved.mode, saved.left_s, saved.saved_at_us, saved.until_mono_s, saved.boot_id, saved.by, saved.reason)
        with self._outbox.commit() as db:
            db.execute("INSERT OR REPLACE INTO mode VALUES (1, ?, ?, ?, ?, ?, ?, ?)", row)
