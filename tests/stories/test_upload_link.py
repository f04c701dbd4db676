"""Stories of the dedicated link, both real sides over TLS: cuts, kills, refusals, and what mends them."""

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.certificates import CertificateShop, certificates
from support.ingest_server import POLE, SEGMENT_US, START_US, CuttingProxy, IngestServer, PoleSide

from agent.clock import SimulatedClock
from agent.config import CenterConfig
from agent.contract.age_format import generate_identity
from agent.contract.receipt import Receipt
from agent.contract.records import VideoRecord
from agent.contract.signed_note import NoteSigner, NoteVerifier
from agent.fault_board import FaultBoard
from agent.supervise import WorkerContext
from agent.upload.receipts import ReceiptCheck
from agent.upload.tus_link import TusLink
from agent.upload.uploader import Uploader
from center import pki

__all__ = ["certificates"]

CHUNK = 64 * 1024


class Town:
    """One pole and one center. The pole's clock is simulated, so that no test waits for a back-off."""

    def __init__(self, directory: Path, certificates: CertificateShop) -> None:
        self.certificates = certificates
        self.server = IngestServer(directory / "center", certificates)
        self.clock = SimulatedClock(utc_us=START_US)
        self.pole = PoleSide(directory / "pole", self.clock)
        self.server.trust(self.pole.recipient)
        self.windows: list[tuple[int, int]] = []
        self.link: TusLink | None = None
        self.pki = directory / "pole-pki"
        self.pki.mkdir()
        self.install(certificates.pole(POLE))
        self.connect()

    def install(self, identity: pki.Issued) -> None:
        """Put certificate files where the pole's configuration says they are."""
        for source, name in ((identity.ca_file, "ca"), (identity.cert_file, "crt"), (identity.key_file, "key")):
            fresh = self.pki / f"{name}.new"
            shutil.copy(source, fresh)
            fresh.rename(self.pki / name)

    def link_config(self) -> CenterConfig:
        files = {"ca_file": self.pki / "ca", "cert_file": self.pki / "crt", "key_file": self.pki / "key"}
        return replace(self.server.link_config(), **files)

    def connect(self, url: str = "", receipt_key: str = "") -> None:
        """(Re)start the uploader, as a restarted service does."""
        if self.link is not None:
            self.link.close()
        config = replace(self.link_config(), ingest_url=url or self.server.url)
        self.faults = FaultBoard(self.clock)
        self.link = TusLink(config, self.clock)
        receipts = ReceiptCheck(receipt_key or self.server.signer.verifier_key, POLE)
        spool = self.pole.spool
        self.uploader = Uploader(
            spool, self.link, self.link, receipts, lambda: self.windows, self.faults, self.clock, CHUNK
        )

    def attempt(self, pulse: Callable[[], object] = lambda: None) -> None:
        self.clock.advance(self.uploader.attempt(pulse))

    def until_delivered(self, most: int = 100) -> None:
        for _ in range(most):
            if not self.pole.spool.pending(1):
                return
            self.attempt()
        raise AssertionError(self.says())

    def says(self) -> list[tuple[str, str]]:
        return [(fault.code, fault.detail) for fault in self.faults.standing()]

    def codes(self) -> list[str]:
        return [code for code, _ in self.says()]

    def holds(self, record: VideoRecord, content: bytes) -> bool:
        """Whether the center holds exactly these bytes under a receipt that verifies."""
        store = self.server.store()
        stored = store.objects.get(record.segment)
        store.close()
        if stored is None:
            return False
        NoteVerifier(self.server.signer.verifier_key).open(stored.receipt)
        return (self.server.state_dir / "objects" / stored.path).read_bytes() == content

    def end(self) -> None:
        self.link.close()
        self.server.stop()
        self.pole.spool.close()


@pytest.fixture
def town(tmp_path: Path, certificates: CertificateShop) -> Iterator[Town]:
    town = Town(tmp_path, certificates)
    yield town
    town.end()


def after(count: int, act: Callable[[], object]) -> Callable[[], None]:
    """Return a pulse that calls `act` at its `count`-th call."""
    calls = iter(range(1, 1_000_000))

    def pulse() -> None:
        if next(calls) == count:
            act()

    return pulse


def test_a_server_killed_in_the_middle_goes_on_where_its_bytes_end(town: Town):
    town.server.start()
    record = town.pole.seal(10 * CHUNK)
    content = town.pole.path(record).read_bytes()
    town.attempt(after(5, town.server.kill))
    assert town.codes() == ["link-down"]
    assert town.pole.path(record).exists()
    town.attempt()
    town.server.start()
    town.until_delivered()
    assert town.holds(record, content)
    assert town.link.bytes_sent - record.bytes <= CHUNK
    assert town.codes() == [] and not town.pole.path(record).exists()


@pytest.mark.parametrize("step", ["synced", "moved", "placed", "committed", "forgotten"])
def test_a_server_killed_at_any_step_acknowledges_all_or_nothing(town: Town, step: str):
    record = town.pole.seal(3 * CHUNK)
    content = town.pole.path(record).read_bytes()
    town.server.start(die_at=step)
    town.attempt()
    town.server.wait_dead()
    assert town.pole.path(record).exists()
    assert town.pole.spool.totals().receipted == 0
    town.server.start()
    town.until_delivered()
    assert town.holds(record, content)
    assert town.link.bytes_sent == record.bytes, "nothing is sent again: every byte was durable"
    partials = town.server.state_dir / "ingest" / "partial" / POLE
    assert list(partials.iterdir()) == []
    assert len(list((town.server.state_dir / "objects").rglob("*.age"))) == 1


@pytest.mark.parametrize("cut_at", [100, 3_000, 40_000, CHUNK + 8_000, 3 * CHUNK, 5 * CHUNK + 1])
def test_a_link_cut_anywhere_sends_at_most_one_chunk_twice(town: Town, cut_at: int):
    town.server.start()
    proxy = CuttingProxy(town.server.port)
    proxy.cuts = [cut_at]
    town.connect(f"https://127.0.0.1:{proxy.port}")
    record = town.pole.seal(6 * CHUNK)
    content = town.pole.path(record).read_bytes()
    town.until_delivered()
    town.link.close()
    proxy.close()
    assert proxy.cut_count == 1
    assert town.holds(record, content)
    assert town.link.bytes_sent - record.bytes <= CHUNK
    assert town.codes() == []


def test_a_link_cut_again_and_again_still_delivers(town: Town):
    town.server.start()
    proxy = CuttingProxy(town.server.port)
    proxy.cuts = [CHUNK + 20_000] * 8
    town.connect(f"https://127.0.0.1:{proxy.port}")
    records = [town.pole.seal(4 * CHUNK) for _ in range(2)]
    contents = [town.pole.path(record).read_bytes() for record in records]
    town.until_delivered()
    town.link.close()
    proxy.close()
    assert all(town.holds(record, content) for record, content in zip(records, contents, strict=True))
    assert town.link.bytes_sent - sum(record.bytes for record in records) <= proxy.cut_count * CHUNK


def test_a_center_that_is_away_is_a_fault_until_it_is_back(town: Town):
    record = town.pole.seal()
    content = town.pole.path(record).read_bytes()
    town.attempt()
    [(code, detail)] = town.says()
    assert code == "link-down" and "cannot be reached" in detail
    town.server.start()
    town.until_delivered()
    assert town.codes() == [] and town.holds(record, content)


def test_a_center_of_another_ca_is_refused_until_the_right_ca_is_installed(town: Town):
    town.server.start()
    record = town.pole.seal()
    content = town.pole.path(record).read_bytes()
    (town.pki / "ca").write_bytes(town.certificates.foreign_authority.cert_file.read_bytes())
    town.attempt()
    [(code, detail)] = town.says()
    assert code == "link-refused" and "does not vouch for" in detail
    assert town.pole.path(record).exists()
    town.install(town.certificates.pole(POLE))
    town.until_delivered()
    assert town.codes() == [] and town.holds(record, content)


@pytest.mark.parametrize(("kind", "reason"), [("expired", "certificate expired"), ("foreign", "unknown ca")])
def test_a_bad_certificate_is_one_clear_sentence_and_mends_without_a_restart(town: Town, kind: str, reason: str):
    town.server.start()
    record = town.pole.seal()
    content = town.pole.path(record).read_bytes()
    shop = town.certificates
    town.install(shop.expired_pole() if kind == "expired" else shop.foreign_pole(POLE))
    town.attempt()
    [(code, detail)] = town.says()
    assert code == "link-refused" and f"refuses the pole's certificate ({reason}), have it renewed" in detail
    assert town.pole.path(record).exists()
    town.install(shop.pole(POLE))
    town.until_delivered()
    assert town.codes() == [] and town.holds(record, content)


@pytest.mark.parametrize("damage", ["missing", "garbage", "another's key"])
def test_unusable_certificate_files_are_named_and_mend_without_a_restart(town: Town, damage: str):
    town.server.start()
    town.pole.seal()
    if damage == "missing":
        (town.pki / "key").unlink()
    else:
        other = b"garbage" if damage == "garbage" else town.certificates.pole("pole-2").key_file.read_bytes()
        (town.pki / "key").write_bytes(other)
    town.attempt()
    [(code, detail)] = town.says()
    assert code == "link-refused" and "cannot be read or do not match, install both again" in detail
    town.install(town.certificates.pole(POLE))
    town.until_delivered()
    assert town.codes() == []


def test_a_revoked_certificate_is_refused_with_403_and_every_file_stays(town: Town):
    town.server.start()
    record = town.pole.seal()
    content = town.pole.path(record).read_bytes()
    stolen = pki.issue_pole(town.certificates.directory, "pole-stolen")
    own = town.certificates.pole(POLE)
    pki.revoke(town.certificates.directory, stolen.cert_file)
    town.install(stolen)
    town.attempt()
    [(code, detail)] = town.says()
    assert code == "link-refused" and "403" in detail and "was revoked" in detail
    assert town.pole.path(record).exists() and town.pole.spool.totals().receipted == 0
    town.install(own)
    town.until_delivered()
    assert town.codes() == [] and town.holds(record, content)


def test_a_receipt_for_another_digest_is_refused_and_the_file_stays(town: Town):
    record = town.pole.seal()
    town.server.start(die_at="committed")
    town.attempt()
    town.server.wait_dead()
    lie = Receipt(POLE, record.segment, "0" * 64, record.bytes, 1)
    with sqlite3.connect(town.server.state_dir / "center.sqlite") as database:
        database.execute("UPDATE object SET receipt=?", (town.server.signer.sign(lie.text()),))
    database.close()
    town.server.start()
    town.attempt()
    town.attempt()
    assert town.codes() == ["receipt-invalid"]
    assert town.pole.path(record).exists() and town.pole.spool.totals().receipted == 0


def test_a_receipt_of_another_key_is_refused_until_the_right_key_is_pinned(town: Town):
    town.server.start()
    record = town.pole.seal()
    town.connect(receipt_key=NoteSigner.generate("center.test").verifier_key)
    town.attempt()
    assert town.codes() == ["receipt-invalid"]
    assert town.pole.path(record).exists()
    town.connect()
    town.until_delivered()
    assert town.codes() == []


def test_an_unknown_recipient_stops_its_segment_only_and_is_accepted_once_known(town: Town):
    town.server.start()
    known = town.pole.seal()
    _, stranger = generate_identity()
    unknown = town.pole.seal(recipient=stranger)
    content = town.pole.path(unknown).read_bytes()
    for _ in range(3):
        town.attempt()
    assert town.codes() == ["recipient-unknown"]
    assert not town.pole.path(known).exists() and town.pole.path(unknown).exists()
    assert not list((town.server.state_dir / "ingest" / "partial").rglob(f"{unknown.segment}*"))
    town.server.trust(stranger)
    town.until_delivered()
    assert town.codes() == [] and town.holds(unknown, content)


def test_footage_around_a_bell_arrives_first(town: Town):
    town.server.start()
    records = [town.pole.seal() for _ in range(4)]
    town.windows = [(START_US + SEGMENT_US, START_US + SEGMENT_US + 1)]
    town.uploader.run_once()
    assert [town.pole.path(record).exists() for record in records] == [True, False, True, True]


def test_a_full_center_takes_nothing_and_goes_on_when_it_has_room(town: Town):
    town.server.configure(min_free_bytes=1 << 60)
    town.server.start()
    record = town.pole.seal()
    content = town.pole.path(record).read_bytes()
    town.attempt()
    [(code, detail)] = town.says()
    assert code == "center-store-full" and "507" in detail
    assert town.server.stop() == 0
    town.server.configure()
    town.server.start()
    town.until_delivered()
    assert town.codes() == [] and town.holds(record, content)


def test_a_service_that_stops_in_the_middle_of_a_chunk_leaves_a_link_that_goes_on(town: Town):
    town.server.start()
    record = town.pole.seal(4 * CHUNK)
    content = town.pole.path(record).read_bytes()
    stop = threading.Event()
    context = WorkerContext(town.clock, stop)
    context.beat = after(3, stop.set)
    town.uploader.run(context)
    assert town.codes() == [] and town.pole.path(record).exists()
    town.connect()
    town.until_delivered()
    assert town.holds(record, content)


def test_a_torn_segment_is_evidence_too_and_is_delivered(town: Town):
    town.server.start()
    record = town.pole.tear()
    content = (town.pole.config.dir / "front" / f"{record.segment}.torn.mp4.age").read_bytes()
    town.until_delivered()
    assert town.holds(record, content) and town.codes() == []


def test_the_center_ends_up_with_every_record_in_order(town: Town):
    town.server.start()
    for _ in range(3):
        town.pole.seal(1000)
    town.until_delivered()
    while town.uploader.run_once():
        pass
    store = town.server.store()
    raw = [bytes(one) for one in store.records.raw(POLE)]
    spans = store.records.timeline(POLE, "front", 0, 2**60)
    store.close()
    assert raw == [record for _, record in town.pole.spool.records_after(0, 100)]
    assert [(span.kind, span.stored) for span in spans] == [("segment", True)] * 3


def test_a_pole_with_a_new_disk_goes_on_and_the_center_shows_both(town: Town, tmp_path: Path):
    town.server.start()
    before = town.pole.seal(1000)
    town.until_delivered()
    while town.uploader.run_once():
        pass
    town.pole.spool.close()
    town.pole = PoleSide(tmp_path / "new-disk", town.clock, start_us=START_US + 6 * SEGMENT_US)
    town.server.trust(town.pole.recipient)
    town.connect()
    after = town.pole.seal(1000)
    town.until_delivered()
    while town.uploader.run_once():
        pass
    store = town.server.store()
    spans = store.records.timeline(POLE, "front", 0, 2**60)
    told = [event.data["what"] for event in store.events.of_kind("security")]
    store.close()
    assert [(span.segment, span.stored) for span in spans] == [(before.segment, True), (after.segment, True)]
    assert told == ["record-log-new"]
    assert town.codes() == []


def test_the_centers_clock_comes_with_every_answer(town: Town):
    town.server.start()
    assert town.link.center_utc_us() is None and town.link.last_answer_age_s is None
    town.pole.seal()
    town.until_delivered()
    town.clock.advance(10)
    assert town.link.last_answer_age_s is not None and town.link.last_answer_age_s >= 10
    assert town.link.center_utc_us() is not None
