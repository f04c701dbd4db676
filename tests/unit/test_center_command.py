"""`pole-center` as a person uses it: what it writes, what it says, its exit status."""

import csv
import io
from pathlib import Path

import pytest
from support.age_tools import seal

from agent.contract.signed_note import NoteSigner, NoteVerifier
from center.__main__ import main
from center.alarms.broker_config import BrokerFiles, broker_text
from center.config import load_config
from center.custodian.recipients import RecipientList
from center.errors import ConfigError


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["init", str(tmp_path / "center")]) == 0
    capsys.readouterr()
    return tmp_path / "center"


def run(site: Path, *words: str) -> int:
    return main([*words, "--config", str(site / "center.toml")])


@pytest.fixture
def sealed(site: Path, tmp_path: Path) -> Path:
    (row,) = RecipientList(site / "custodian").rows()
    file = tmp_path / "clip.mp4.age"
    file.write_bytes(seal(b"clear video", row.recipient))
    return file


def test_init_lays_out_all_that_the_configuration_names(site: Path) -> None:
    config = load_config(site / "center.toml")
    files = [config.ingest.cert_file, config.ingest.key_file, config.ingest.ca_file, config.ingest.crl_file]
    files += [config.broker.alarms_key_file, config.broker.telemetry_cert_file, config.receipts.key_file]
    files += [
        config.console.cert_file,
        config.console.key_file,
        config.custodian.pole_list,
        site / "broker/mosquitto.conf",
    ]
    assert [file for file in files if file is None or not file.is_file()] == []


def test_the_published_receipt_key_is_the_private_ones_other_half(site: Path) -> None:
    signer = NoteSigner.parse((site / "receipt.key").read_text())
    assert NoteVerifier((site / "receipt.vkey").read_text()).open(signer.sign("x\n")) == "x\n"


def test_every_secret_of_a_new_center_is_for_its_owner_only(site: Path) -> None:
    secrets = [*site.rglob("*.key"), *site.rglob("*.agekey")]
    assert len(secrets) >= 8
    assert {file.stat().st_mode & 0o077 for file in secrets} == {0}
    assert site.stat().st_mode & 0o077 == 0


def test_init_never_overwrites(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file: file.read_bytes() for file in site.rglob("*") if file.is_file()}
    assert main(["init", str(site)]) == 78
    assert "never overwritten" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in site.rglob("*") if file.is_file()} == before


def test_broker_config_may_be_written_again_after_a_change(site: Path) -> None:
    config = site / "center.toml"
    config.write_text(config.read_text().replace("port = 8883", "port = 9999"))
    assert run(site, "broker-config", str(site / "broker")) == 0
    assert "listener 9999 127.0.0.1" in (site / "broker" / "mosquitto.conf").read_text()


def test_a_pole_is_issued_once(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(site, "pki", "pole", "pole-1") == 0
    assert run(site, "pki", "pole", "pole-1") == 1
    assert "exists already" in capsys.readouterr().err


def test_a_certificate_is_revoked_and_the_next_step_said(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(site, "pki", "person", "kim")
    assert run(site, "pki", "revoke", str(site / "pki" / "people" / "kim.crt")) == 0
    assert "SIGHUP" in capsys.readouterr().out


def test_opening_a_file_writes_it_once_and_the_ledger_row_can_be_exported(
    site: Path, sealed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "clip.mp4"
    words = ("open", str(sealed), "--reason", "사건 2026-1", "--officer", "김", "--out", str(out))
    assert run(site, *words) == 0
    assert (out.read_bytes(), out.stat().st_mode & 0o777) == (b"clear video", 0o600)
    assert run(site, *words) == 1
    capsys.readouterr()
    assert run(site, "ledger") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["no"], row["officer"], row["purpose"]) for row in rows] == [("1", "김", "사건 2026-1")]


def test_an_empty_reason_opens_nothing(site: Path, sealed: Path, tmp_path: Path) -> None:
    out = tmp_path / "clip.mp4"
    assert run(site, "open", str(sealed), "--reason", " ", "--officer", "kim", "--out", str(out)) == 1
    assert not out.exists()


def test_clear_video_does_not_go_to_a_terminal(
    site: Path, sealed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert run(site, "open", str(sealed), "--reason", "r", "--officer", "kim") == 1
    assert "terminal" in capsys.readouterr().err
    assert run(site, "ledger", "--verify") == 0
    assert "0 rows" in capsys.readouterr().out


def test_a_broken_ledger_is_not_exported(site: Path, sealed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import sqlite3

    run(site, "open", str(sealed), "--reason", "r", "--officer", "kim", "--out", str(sealed.with_suffix(".clear")))
    raw = sqlite3.connect(site / "state" / "center.sqlite", isolation_level=None)
    raw.executescript("DROP TRIGGER ledger_no_update; UPDATE ledger SET hash = '00'")
    raw.close()
    assert run(site, "ledger") == 1
    assert "broken at row 1" in capsys.readouterr().err


def test_a_new_key_is_listed_for_its_zone(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(site, "keys", "new", "--zone", "demo") == 0
    assert run(site, "keys", "list") == 0
    assert capsys.readouterr().out.count(" demo ") == 3
    assert (site / "recipients.txt").read_text().count("\nage1") == 2


@pytest.mark.parametrize("command", ["ingest", "alarms", "console"])
def test_a_wrong_configuration_ends_a_service_with_78_and_every_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (tmp_path / "center.toml").write_text("[ingest]\nport = 0\n")
    assert main([command, "--config", str(tmp_path / "center.toml")]) == 78
    said = capsys.readouterr().err
    assert "ingest.port" in said
    assert "broker.host" in said
    assert "Traceback" not in said


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["init", str(tmp_path / "file" / "center")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_path_that_would_break_out_of_its_line_is_refused(tmp_path: Path) -> None:
    files = BrokerFiles("127.0.0.1\nallow_anonymous true", 1, *[tmp_path] * 4)
    with pytest.raises(ConfigError, match="line break"):
        broker_text(tmp_path, files, "root")


@pytest.mark.parametrize(
    "line",
    [
        "allow_anonymous false",
        "set_tcp_nodelay true",
        "use_identity_as_username true",
        "use_username_as_clientid true",
        "require_certificate true",
        "max_queued_messages 20000",
        "max_packet_size 65536",
        "tls_version tlsv1.3",
        "listener 8883 127.0.0.1",
    ],
)
def test_the_broker_is_configured_as_the_facts_demand(site: Path, line: str) -> None:
    assert line in (site / "broker" / "mosquitto.conf").read_text().splitlines()


def test_the_access_list_is_exactly_the_contracts(site: Path) -> None:
    rules = [line for line in (site / "broker" / "acl").read_text().splitlines() if line and not line.startswith("#")]
    center = ["topic read ps/v1/+/up/#", "topic write ps/v1/+/down/#", "topic write ps/v1/center/#"]
    assert rules == [
        "pattern write ps/v1/%u/up/#", "pattern read ps/v1/%u/down/#", "pattern read ps/v1/center/#",
        "user center-alarms", *center, "user center-telemetry", *center,
    ]  # fmt: skip
    assert "LimitNOFILE=65536" in (site / "broker" / "mosquitto-limits.conf").read_text()
