"""Who may speak to ingest (center.ingest.identity, center.ingest.uvicorn_mtls.peer_of)."""

import resource
from pathlib import Path

import pytest
from cryptography import x509
from support.certificates import certificates

from center import pki
from center.ingest.identity import Gate
from center.ingest.problem import Refusal
from center.ingest.uvicorn_mtls import Peer, allow_open_files, peer_of

__all__ = ["certificates"]


def code(gate: Gate, peer: Peer | None) -> str:
    with pytest.raises(Refusal) as caught:
        gate.admit(peer)
    return caught.value.code


@pytest.mark.parametrize("name", ["center-ingest", "center", "person.kim", "", "../x", "Pole-1"])
def test_only_a_poles_name_is_admitted(name: str):
    assert code(Gate(None), Peer(name, 1)) == "unknown-pole"
    assert Gate(None).admit(Peer("pole-1", 1)) == "pole-1"


def test_nobody_is_not_admitted():
    assert code(Gate(None), None) == "unknown-pole"


def test_a_revocation_counts_from_the_next_request_on(tmp_path: Path):
    pki.create_authority(tmp_path)
    issued = pki.issue_pole(tmp_path, "pole-1")
    serial = x509.load_pem_x509_certificate(issued.cert_file.read_bytes()).serial_number
    gate = Gate(tmp_path / "ca.crl")
    assert gate.admit(Peer("pole-1", serial)) == "pole-1"
    pki.revoke(tmp_path, issued.cert_file)
    assert code(gate, Peer("pole-1", serial)) == "certificate-revoked"
    assert gate.admit(Peer("pole-1", serial + 1)) == "pole-1"


def test_an_unreadable_revocation_list_admits_nobody(tmp_path: Path):
    (tmp_path / "ca.crl").write_text("damaged")
    assert code(Gate(tmp_path / "ca.crl"), Peer("pole-1", 1)) == "store-failed"


def test_a_revocation_list_that_is_named_and_not_there_admits_nobody(tmp_path: Path):
    assert code(Gate(tmp_path / "missing.crl"), Peer("pole-1", 1)) == "store-failed"


def test_without_a_revocation_list_nobody_is_revoked():
    assert Gate(None).admit(Peer("pole-1", 1)) == "pole-1"


def test_the_limit_of_open_files_is_raised_for_thousands_of_poles():
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
        assert allow_open_files(wanted=1024) == min(1024, limits[1])
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(1024, limits[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_certificate_with_two_names_is_nobodys():
    subject = ((("commonName", "pole-1"),), (("commonName", "pole-2"),))
    assert peer_of({"subject": subject, "serialNumber": "0A"}) is None
    assert peer_of({"subject": subject[:1], "serialNumber": "0A"}) == Peer("pole-1", 10)
    assert peer_of(None) is None and peer_of({}) is None
