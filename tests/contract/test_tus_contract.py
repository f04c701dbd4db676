"""tus 1.0.0 as the specification says it, asked of our server by clients that are not ours (curl, plain HTTP).

The link's own port suite is below: the simulated center and the real one behind tus must behave alike.
"""

import base64
import hashlib
import http.client
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from support.certificates import CertificateShop, certificates
from support.ingest_server import POLE, IngestServer, PoleSide

from agent.clock import SystemClock
from agent.contract.records import SegmentRecord, encode_record
from agent.contract.signed_note import NoteSigner
from agent.errors import LinkError
from agent.upload.link import DigestMismatchError, OffsetConflictError
from agent.upload.receipts import ReceiptCheck
from agent.upload.simulated_link import SimulatedLink
from agent.upload.tus_link import TusLink
from center.ingest.uvicorn_mtls import CONNECTIONS_PER_NAME

__all__ = ["certificates"]

TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {"Content-Type": "application/offset+octet-stream"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificates: CertificateShop) -> Iterator[IngestServer]:
    server = IngestServer(tmp_path_factory.mktemp("center") / "center", certificates)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def pole(tmp_path_factory: pytest.TempPathFactory, server: IngestServer) -> PoleSide:
    pole = PoleSide(tmp_path_factory.mktemp("pole"))
    server.trust(pole.recipient)
    return pole


@pytest.fixture
def client(server: IngestServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def metadata(record: SegmentRecord, **changes: bytes) -> str:
    pairs = {"segment": record.segment.encode(), "sha256": record.sha256.encode(), "record": encode_record(record)}
    return ",".join(f"{key} {base64.b64encode(value).decode()}" for key, value in {**pairs, **changes}.items())


def create(client: httpx.Client, record: SegmentRecord) -> str:
    headers = {**TUS, "Upload-Length": str(record.bytes), "Upload-Metadata": metadata(record)}
    answer = client.post("/files", headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


def patch(client: httpx.Client, place: str, offset: int, body: bytes, **headers: str) -> httpx.Response:
    return client.patch(place, headers={**TUS, **CHUNK, "Upload-Offset": str(offset), **headers}, content=body)


def offset_of(client: httpx.Client, place: str) -> int:
    answer = client.head(place, headers=TUS)
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store"
    return int(answer.headers["Upload-Offset"])


def checksum(body: bytes, name: str = "sha256") -> dict[str, str]:
    return {"Upload-Checksum": f"{name} {base64.b64encode(hashlib.new(name, body).digest()).decode()}"}


def code(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == answer.status_code and problem["type"].endswith(problem["code"])
    return problem["code"]


def test_options_tells_version_extensions_and_limits(client: httpx.Client):
    answer = client.options("/files")
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert set(answer.headers["Tus-Extension"].split(",")) == {
        "creation",
        "creation-defer-length",
        "checksum",
        "termination",
    }
    assert answer.headers["Tus-Checksum-Algorithm"] == "sha1,sha256"
    assert int(answer.headers["Tus-Max-Size"]) > 0


def test_every_answer_names_the_protocols_version(client: httpx.Client, pole: PoleSide):
    place = create(client, pole.seal())
    for answer in (client.head(place, headers=TUS), client.head("/files/unknown", headers=TUS)):
        assert answer.headers["Tus-Resumable"] == "1.0.0"


@pytest.mark.parametrize("version", [None, "0.2.2", "1.0.1"])
def test_another_version_is_answered_412_and_nothing_is_done(client: httpx.Client, pole: PoleSide, version: str | None):
    place = create(client, pole.seal())
    headers = {**CHUNK, "Upload-Offset": "0"} | ({"Tus-Resumable": version} if version else {})
    answer = client.patch(place, headers=headers, content=b"x")
    assert answer.status_code == 412 and answer.headers["Tus-Version"] == "1.0.0"
    assert offset_of(client, place) == 0


def test_a_segment_sent_in_parts_is_held_and_receipted(client: httpx.Client, server: IngestServer, pole: PoleSide):
    record = pole.seal(50_000)
    content = pole.path(record).read_bytes()
    place = create(client, record)
    assert offset_of(client, place) == 0
    for start in range(0, len(content), 20_000):
        answer = patch(client, place, start, content[start : start + 20_000])
        assert answer.status_code == 204
        assert int(answer.headers["Upload-Offset"]) == min(start + 20_000, len(content))
    note = client.get(f"/receipts/{record.segment}").text
    receipt = ReceiptCheck(server.signer.verifier_key, POLE).check(note, record.segment, record.sha256, record.bytes)
    assert receipt.segment == record.segment
    day = record.segment.split(".")[2][:8]
    stored = server.state_dir / "objects" / POLE / "front" / day / f"{record.segment}.mp4.age"
    assert stored.read_bytes() == content
    assert not list((server.state_dir / "ingest" / "partial" / POLE).glob(f"{record.segment}*"))
    assert offset_of(client, place) == record.bytes


def test_head_tells_what_was_announced(client: httpx.Client, pole: PoleSide):
    record = pole.seal()
    answer = client.head(create(client, record), headers=TUS)
    assert answer.headers["Upload-Length"] == str(record.bytes)
    assert answer.headers["Upload-Metadata"] == metadata(record)


@pytest.mark.parametrize("offset", [1, 9_999_999])
def test_another_offset_is_409_and_changes_nothing(client: httpx.Client, pole: PoleSide, offset: int):
    place = create(client, pole.seal())
    answer = patch(client, place, offset, b"x")
    assert (answer.status_code, code(answer)) == (409, "offset-conflict")
    assert offset_of(client, place) == 0


def test_another_content_type_is_415(client: httpx.Client, pole: PoleSide):
    place = create(client, pole.seal())
    answer = client.patch(place, headers={**TUS, "Upload-Offset": "0", "Content-Type": "video/mp4"}, content=b"x")
    assert (answer.status_code, code(answer)) == (415, "wrong-type")


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_a_right_checksum_is_accepted(client: httpx.Client, pole: PoleSide, name: str):
    record = pole.seal()
    body = pole.path(record).read_bytes()[:1000]
    place = create(client, record)
    assert patch(client, place, 0, body, **checksum(body, name)).status_code == 204


@pytest.mark.parametrize("name", ["sha1", "sha256"])
def test_a_wrong_checksum_is_460_and_the_chunk_is_gone(client: httpx.Client, pole: PoleSide, name: str):
    record = pole.seal()
    content = pole.path(record).read_bytes()
    place = create(client, record)
    patch(client, place, 0, content[:1000])
    answer = patch(client, place, 1000, b"y" * 500, **checksum(b"z" * 500, name))
    assert (answer.status_code, code(answer)) == (460, "checksum-mismatch")
    assert offset_of(client, place) == 1000
    assert patch(client, place, 1000, content[1000:]).status_code == 204


def test_an_unknown_checksum_algorithm_is_400(client: httpx.Client, pole: PoleSide):
    answer = patch(client, create(client, pole.seal()), 0, b"x", **{"Upload-Checksum": "crc32 AAAA"})
    assert (answer.status_code, code(answer)) == (400, "bad-request")


def test_a_body_beyond_the_length_is_413(client: httpx.Client, pole: PoleSide):
    record = pole.seal(1000)
    place = create(client, record)
    answer = patch(client, place, 0, b"x" * (record.bytes + 1))
    assert (answer.status_code, code(answer)) == (413, "too-large")
    assert offset_of(client, place) == 0


def test_a_deferred_length_may_come_with_the_last_chunk(client: httpx.Client, pole: PoleSide):
    record = pole.seal()
    content = pole.path(record).read_bytes()
    answer = client.post("/files", headers={**TUS, "Upload-Defer-Length": "1", "Upload-Metadata": metadata(record)})
    place = answer.headers["Location"]
    assert client.head(place, headers=TUS).headers["Upload-Defer-Length"] == "1"
    assert patch(client, place, 0, content[:500]).status_code == 204
    answer = patch(client, place, 500, content[500:], **{"Upload-Length": str(record.bytes)})
    assert answer.status_code == 204
    assert client.get(f"/receipts/{record.segment}").status_code == 200


def test_a_deferred_length_that_is_not_the_records_is_refused(client: httpx.Client, pole: PoleSide):
    record = pole.seal()
    answer = client.post("/files", headers={**TUS, "Upload-Defer-Length": "1", "Upload-Metadata": metadata(record)})
    answer = patch(client, answer.headers["Location"], 0, b"x", **{"Upload-Length": "12"})
    assert (answer.status_code, code(answer)) == (400, "record-invalid")


def test_a_terminated_upload_is_unknown(client: httpx.Client, pole: PoleSide):
    place = create(client, pole.seal())
    assert client.delete(place, headers=TUS).status_code == 204
    assert client.head(place, headers=TUS).status_code == 404
    assert patch(client, place, 0, b"x").status_code == 404


def test_what_is_stored_cannot_be_terminated(client: httpx.Client, pole: PoleSide):
    record = pole.seal()
    place = create(client, record)
    patch(client, place, 0, pole.path(record).read_bytes())
    assert client.delete(place, headers=TUS).status_code == 404
    assert client.get(f"/receipts/{record.segment}").status_code == 200


def test_the_method_may_be_overridden(client: httpx.Client, pole: PoleSide):
    record = pole.seal()
    place = create(client, record)
    headers = {**TUS, **CHUNK, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert client.post(place, headers=headers, content=pole.path(record).read_bytes()).status_code == 204


def test_announcing_a_segment_again_finds_what_arrived(client: httpx.Client, pole: PoleSide):
    record = pole.seal()
    place = create(client, record)
    patch(client, place, 0, pole.path(record).read_bytes()[:777])
    headers = {**TUS, "Upload-Length": str(record.bytes), "Upload-Metadata": metadata(record)}
    again = client.post("/files", headers=headers)
    assert (again.headers["Location"], again.headers["Upload-Offset"]) == (place, "777")


def test_a_stored_segment_gives_the_same_receipt_for_ever(client: httpx.Client, pole: PoleSide):
    record = pole.seal()
    place = create(client, record)
    patch(client, place, 0, pole.path(record).read_bytes())
    first = client.get(f"/receipts/{record.segment}").content
    headers = {**TUS, "Upload-Length": str(record.bytes), "Upload-Metadata": metadata(record)}
    assert client.post("/files", headers=headers).headers["Upload-Offset"] == str(record.bytes)
    assert patch(client, place, record.bytes, b"").status_code == 204
    assert client.get(f"/receipts/{record.segment}").content == first


def test_another_content_for_a_stored_segment_is_refused_and_a_security_event(
    client: httpx.Client, server: IngestServer, pole: PoleSide
):
    record = pole.seal()
    patch(client, create(client, record), 0, pole.path(record).read_bytes())
    forged = SegmentRecord(**{**{name: getattr(record, name) for name in record.__struct_fields__}, "sha256": "0" * 64})
    headers = {**TUS, "Upload-Length": str(record.bytes), "Upload-Metadata": metadata(forged)}
    answer = client.post("/files", headers=headers)
    assert (answer.status_code, code(answer)) == (409, "segment-conflict")
    store = server.store()
    told = [event.data for event in store.events.after(0, 10_000) if event.kind == "security"]
    store.close()
    assert ("segment-conflict", record.segment) in [(data["what"], data.get("segment")) for data in told]


def test_bytes_with_another_digest_are_refused_and_nothing_is_receipted(client: httpx.Client, pole: PoleSide):
    record = pole.seal()
    content = pole.path(record).read_bytes()
    place = create(client, record)
    answer = patch(client, place, 0, content[:-1] + bytes([content[-1] ^ 1]))
    assert (answer.status_code, code(answer)) == (409, "digest-mismatch")
    assert code(client.get(f"/receipts/{record.segment}")) == "no-receipt"
    assert create(client, record) == place and offset_of(client, place) == 0


def test_clear_bytes_are_refused_even_with_the_right_digest(client: httpx.Client, pole: PoleSide):
    record = pole.seal()
    clear = b"\0\0\0\x1cftypisom" + bytes(record.bytes - 12)
    digest = hashlib.sha256(clear).hexdigest()
    forged = SegmentRecord(**{**{name: getattr(record, name) for name in record.__struct_fields__}, "sha256": digest})
    answer = patch(client, create(client, forged), 0, clear)
    assert (answer.status_code, code(answer)) == (409, "not-age")


def test_a_second_writer_is_locked_out_while_the_first_one_writes(
    client: httpx.Client, server: IngestServer, pole: PoleSide, certificates: CertificateShop
):
    record = pole.seal()
    content = pole.path(record).read_bytes()
    place = create(client, record)
    own = certificates.pole(POLE)
    context = ssl.create_default_context(cafile=str(certificates.ca_file))
    context.load_cert_chain(own.cert_file, own.key_file)
    slow = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=20)
    slow.putrequest("PATCH", place)
    for name, value in {**TUS, **CHUNK, "Upload-Offset": "0", "Content-Length": str(len(content))}.items():
        slow.putheader(name, value)
    slow.endheaders()
    slow.send(content[:100])
    answers = (patch(client, place, 1, b"x") for _ in range(1000))
    locked = next(answer for answer in answers if answer.status_code != 409)
    assert (locked.status_code, code(locked)) == (423, "locked")
    assert client.delete(place, headers=TUS).status_code == 423
    slow.send(content[100:])
    assert slow.getresponse().status == 204
    slow.close()


def test_a_cut_body_without_a_checksum_keeps_what_arrived(
    client: httpx.Client, server: IngestServer, pole: PoleSide, certificates: CertificateShop
):
    record = pole.seal(400_000)
    content = pole.path(record).read_bytes()
    place = create(client, record)
    own = certificates.pole(POLE)
    context = ssl.create_default_context(cafile=str(certificates.ca_file))
    context.load_cert_chain(own.cert_file, own.key_file)
    cut = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=20)
    cut.putrequest("PATCH", place)
    for name, value in {**TUS, **CHUNK, "Upload-Offset": "0", "Content-Length": str(len(content))}.items():
        cut.putheader(name, value)
    cut.endheaders()
    cut.send(content[:300_000])
    cut.close()
    offsets = (offset_of(client, place) for _ in range(10_000))
    arrived = next(offset for offset in offsets if offset > 0)
    assert arrived == 300_000
    assert patch(client, place, arrived, content[arrived:]).status_code == 204


@pytest.mark.parametrize("place", ["/files/x", "/files/..%2f..%2fetc", f"/files/{'a' * 300}"])
def test_a_place_that_is_no_upload_is_404(client: httpx.Client, place: str):
    assert client.head(place, headers=TUS).status_code == 404


def test_another_poles_upload_receipt_and_segment_are_refused(
    client: httpx.Client, server: IngestServer, pole: PoleSide, certificates: CertificateShop
):
    record = pole.seal()
    place = create(client, record)
    with server.client(certificates.pole("pole-2")) as other:
        assert code(patch(other, place, 0, b"x")) == "not-your-pole"
        assert code(other.get(f"/receipts/{record.segment}")) == "not-your-pole"
        headers = {**TUS, "Upload-Length": str(record.bytes), "Upload-Metadata": metadata(record)}
        answer = other.post("/files", headers=headers)
        assert (answer.status_code, code(answer)) == (403, "not-your-pole")


def test_a_certificate_that_is_not_a_poles_gets_nowhere(server: IngestServer, certificates: CertificateShop):
    for identity in (certificates.center(), certificates.person()):
        with server.client(identity) as other:
            answer = other.options("/files")
            assert (answer.status_code, code(answer)) == (403, "unknown-pole")


def test_without_a_certificate_the_handshake_fails(server: IngestServer, certificates: CertificateShop):
    context = ssl.create_default_context(cafile=str(certificates.ca_file))
    with (
        httpx.Client(base_url=server.url, verify=context, trust_env=False) as nobody,
        pytest.raises(httpx.TransportError, match=r"(?i)certificate required"),
    ):
        nobody.get("/healthz")


def test_one_pole_cannot_hold_more_than_its_share_of_connections(
    server: IngestServer, pole: PoleSide, certificates: CertificateShop
):
    own = certificates.pole("pole-3")
    context = ssl.create_default_context(cafile=str(certificates.ca_file))
    context.load_cert_chain(own.cert_file, own.key_file)
    held = [
        context.wrap_socket(socket.create_connection(("127.0.0.1", server.port), 10), server_hostname="127.0.0.1")
        for _ in range(CONNECTIONS_PER_NAME + 3)
    ]
    for each in held:
        each.settimeout(10)
    for each in held[:3]:
        with suppress(ConnectionError, ssl.SSLError):
            assert each.recv(1) == b"", "the oldest are closed"
    held[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert held[-1].recv(15) == b"HTTP/1.1 200 OK"
    for each in held:
        each.close()


def test_tls_1_2_is_refused(server: IngestServer, certificates: CertificateShop):
    context = ssl.create_default_context(cafile=str(certificates.ca_file))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        httpx.Client(base_url=server.url, verify=context, trust_env=False) as old,
        pytest.raises(httpx.TransportError, match=r"(?i)protocol version"),
    ):
        old.get("/healthz")


def test_records_over_http(client: httpx.Client):
    body = {"first": 0, "records": ['{"kind":"boot","pole":"pole-1"}', "broken"]}
    assert client.post("/records", json=body).json() == {"next": 2}
    assert client.post("/records", json={"first": 9, "records": []}).json() == {"next": 2}
    answer = client.post("/records", json={"first": 0, "records": ['{"kind":"boot","n":1,"pole":"pole-1"}']})
    assert (answer.status_code, code(answer)) == (409, "record-conflict")
    assert code(client.post("/records", content=b"{")) == "bad-request"
    assert client.post("/records", content=b" " * (5 << 20)).status_code == 413


def test_the_health_check_writes_for_real(client: httpx.Client):
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_uploads_a_segment(server: IngestServer, pole: PoleSide, certificates: CertificateShop, tmp_path: Path):
    record = pole.seal(300_000)
    own = certificates.pole(POLE)

    def curl(*words: str) -> str:
        base = ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--http1.1", "--tlsv1.3"]
        tls = ["--cacert", str(own.ca_file), "--cert", str(own.cert_file), "--key", str(own.key_file)]
        done = subprocess.run([*base, *tls, *words], capture_output=True, text=True, check=True, timeout=30)
        return done.stdout

    sent = ["-H", "Tus-Resumable: 1.0.0"]
    announced = ["-H", f"Upload-Length: {record.bytes}", "-H", f"Upload-Metadata: {metadata(record)}"]
    head = curl("-X", "POST", "-D", "-", *sent, *announced, f"{server.url}/files")
    place = next(line.split(": ")[1].strip() for line in head.splitlines() if line.lower().startswith("location"))
    chunk = ["-H", "Content-Type: application/offset+octet-stream", "-H", "Upload-Offset: 0"]
    body = ["--data-binary", f"@{pole.path(record)}"]
    assert " 204 " in curl("-X", "PATCH", "-D", "-", *sent, *chunk, *body, server.url + place).splitlines()[0]
    assert record.segment in curl(f"{server.url}/receipts/{record.segment}")


# -- the link's port: the simulated center and the real one -----------------------------------------------------


@pytest.fixture(params=["simulated", "tus"])
def link(request: pytest.FixtureRequest, server: IngestServer) -> Iterator[SimulatedLink | TusLink]:
    if request.param == "simulated":
        yield SimulatedLink(POLE, NoteSigner.generate("center.test"))
        return
    link = TusLink(server.link_config(), SystemClock())
    yield link
    link.close()


def nothing() -> None:
    """Stand for the worker's pulse."""


def test_a_link_takes_a_segment_in_chunks_and_gives_a_receipt(link: SimulatedLink | TusLink, pole: PoleSide):
    record = pole.seal(100_000)
    content = pole.path(record).read_bytes()
    assert link.receipt(record.segment) is None
    upload = link.create(record.segment, record.sha256, record.bytes, encode_record(record))
    assert upload.offset == 0
    for start in range(0, len(content), 30_000):
        upload = link.append(upload, content[start : start + 30_000], nothing)
    assert upload.offset == record.bytes
    assert link.append(upload, b"", nothing) == upload
    note = link.receipt(record.segment)
    assert note is not None and record.sha256 in note
    assert link.bytes_sent == record.bytes
    assert link.create(record.segment, record.sha256, record.bytes, encode_record(record)).offset == record.bytes


def test_a_link_finds_what_arrived_and_forgets_what_is_terminated(link: SimulatedLink | TusLink, pole: PoleSide):
    record = pole.seal()
    words = (record.segment, record.sha256, record.bytes, encode_record(record))
    upload = link.append(link.create(*words), pole.path(record).read_bytes()[:500], nothing)
    assert link.create(*words) == upload
    link.terminate(upload)
    link.terminate(upload)
    assert link.create(*words).offset == 0


def test_a_link_refuses_another_offset(link: SimulatedLink | TusLink, pole: PoleSide):
    record = pole.seal()
    upload = link.create(record.segment, record.sha256, record.bytes, encode_record(record))
    link.append(upload, b"12345", nothing)
    with pytest.raises(OffsetConflictError):
        link.append(upload, b"12345", nothing)


def test_a_link_refuses_bytes_with_another_digest(link: SimulatedLink | TusLink, pole: PoleSide):
    record = pole.seal(1000)
    upload = link.create(record.segment, record.sha256, record.bytes, encode_record(record))
    with pytest.raises(DigestMismatchError):
        link.append(upload, bytes(record.bytes), nothing)
    assert link.receipt(record.segment) is None


def test_every_error_of_a_link_is_a_link_error():
    assert issubclass(OffsetConflictError, LinkError) and issubclass(DigestMismatchError, LinkError)
