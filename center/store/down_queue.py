"""The words that wait to be published to the poles (`down/<kind>`), in the order in which they became true.

Rules:
* a word is queued in the commit of what it tells (the caller's transaction), so an answer that a page showed is sent;
* a row leaves the queue on the broker's PUBACK; `requeue` brings back only the newest word of an incident's present
  call: an older one is no longer the truth, and a close from before a further press would darken a light that is due.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.contract.messages import AlarmUpdate, encode
from center.store.database import Database


@dataclass(frozen=True)
class DownRow:
    """One message that waits to be published to `down/<kind>` of `pole`."""

    id: int
    pole: str
    kind: str
    payload: bytes


class DownQueue:
    """The down_queue table."""

    def __init__(self, database: Database, now_us: Callable[[], int]) -> None:
        self._database = database
        self._now_us = now_us

    def add(self, pole: str, call: int, update: AlarmUpdate) -> None:
        """Queue one word about an incident's call, in the caller's transaction."""
        self._database.write(
            "INSERT INTO down_queue (pole, incident_id, call, kind, payload, created_at_us)"
            " VALUES (?, ?, ?, 'answer', ?, ?)",
            (pole, update.incident_id, call, encode(update), update.at_us),
        )

    def waiting(self, limit: int = 500) -> Sequence[DownRow]:
        """Return what waits to be published, oldest first."""
        rows = self._database.rows(
            "SELECT id, pole, kind, payload FROM down_queue WHERE published_at_us IS NULL ORDER BY id LIMIT ?", (limit,)
        )
        return [DownRow(**dict(row)) for row in rows]

    def published(self, row_id: int) -> None:
        """Note that the broker acknowledged the message."""
        with self._database.transaction():
            self._database.write("UPDATE down_queue SET published_at_us = ? WHERE id = ?", (self._now_us(), row_id))

    def requeue(self, since_us: int, pole: str | None = None) -> int:
        """Queue again the newest word of each incident's present call since `since_us`; return how many.

        A broker that dies forgets what it acknowledged (FACTS), and a pole that reads a word twice does nothing.
        """
        with self._database.transaction():
            cursor = self._database.write(
                "UPDATE down_queue SET published_at_us = NULL WHERE published_at_us IS NOT NULL AND id IN"
                " (SELECT max(d.id) FROM down_queue d JOIN incident i ON i.incident_id = d.incident_id"
                " WHERE d.call = i.calls AND d.created_at_us >= ?1 AND (?2 IS NULL OR d.pole = ?2)"
                " GROUP BY d.incident_id)",
                (since_us, pole),
            )
        return cursor.rowcount
