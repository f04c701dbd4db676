"""Signed notes: the published example, an independent verifier, and what is refused."""

import base64
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.errors import ContractError
from agent.contract.signed_note import NoteSigner, NoteVerifier, open_note

# The example of the format's first implementation (Go, golang.org/x/mod/sumdb/note).
PETER_PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
NOTE = f"{TEXT}\n{PETER_LINE}{ENOCH_LINE}"
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


def wrong(line: str) -> str:
    """Return a signature line with one bit of its signature flipped."""
    dash, name, text = line.rstrip("\n").split(" ")
    raw = bytearray(base64.b64decode(text))
    raw[-1] ^= 1
    return f"{dash} {name} {base64.b64encode(raw).decode()}\n"


def test_the_published_key_signs_the_published_note_byte_for_byte() -> None:
    signer = NoteSigner.parse(PETER_PRIVATE)
    assert signer.verifier_key == PETER
    assert signer.private_text == PETER_PRIVATE
    assert signer.sign(TEXT) == f"{TEXT}\n{PETER_LINE}"


@pytest.mark.parametrize("key", [PETER, ENOCH])
def test_each_signer_of_the_published_note_verifies(key: str) -> None:
    assert NoteVerifier(key).open(NOTE) == TEXT


def test_the_order_of_the_signatures_does_not_matter() -> None:
    assert NoteVerifier(PETER).open(f"{TEXT}\n{ENOCH_LINE}{PETER_LINE}") == TEXT


@needs_openssl
def test_openssl_verifies_our_signature(tmp_path: Path) -> None:
    signer = NoteSigner.generate("receipts.center.example")
    note = signer.sign("a text\n\nwith an empty line\n")
    raw = base64.b64decode(note.rstrip("\n").rpartition(" ")[2])
    public = base64.b64decode(signer.verifier_key.split("+", 2)[2])[1:]
    pem = Ed25519PublicKey.from_public_bytes(public).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(pem)
    (tmp_path / "signature").write_bytes(raw[4:])
    (tmp_path / "text").write_text("a text\n\nwith an empty line\n", encoding="utf-8")
    command = ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key.pem", "-in", "text"]
    done = subprocess.run(
        [*command, "-sigfile", "signature"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Signature Verified Successfully" in done.stdout


def test_the_key_hash_is_of_name_newline_algorithm_and_key() -> None:
    name, key_hash, key = PETER.split("+", 2)
    assert hashlib.sha256(name.encode() + b"\n" + base64.b64decode(key)).hexdigest()[:8] == key_hash


def test_a_cosigned_note_names_all_its_signers_in_the_order_asked() -> None:
    officers = [NoteSigner.generate(f"officer-{i}.example") for i in range(3)]
    verifiers = [NoteVerifier(officer.verifier_key) for officer in officers]
    note = officers[0].cosign(officers[2].sign("new recipients\n"))
    opened = open_note(note, verifiers)
    assert opened.text == "new recipients\n"
    assert opened.signers == (officers[0].verifier_key, officers[2].verifier_key)


def test_one_signer_twice_counts_once() -> None:
    signer = NoteSigner.generate("officer-1.example")
    note = signer.cosign(signer.sign("text\n"))
    verifier = NoteVerifier(signer.verifier_key)
    assert open_note(note, [verifier]).signers == (signer.verifier_key,)
    assert open_note(note, [verifier, verifier]).signers == (signer.verifier_key,)


def test_a_note_of_unknown_signers_only_is_refused() -> None:
    with pytest.raises(ContractError, match="no signature of a known key"):
        NoteVerifier(ENOCH).open(f"{TEXT}\n{PETER_LINE}")


def test_a_key_of_the_same_name_but_another_hash_is_unknown() -> None:
    stranger = NoteSigner.generate("PeterNeumann").sign(TEXT)
    with pytest.raises(ContractError, match="no signature of a known key"):
        NoteVerifier(PETER).open(stranger)
    assert NoteVerifier(PETER).open(stranger + PETER_LINE) == TEXT


def test_a_wrong_signature_of_a_known_key_is_refused_even_beside_a_right_one() -> None:
    for note in (f"{TEXT}\n{wrong(PETER_LINE)}{ENOCH_LINE}", f"{TEXT}\n{PETER_LINE}{wrong(PETER_LINE)}"):
        with pytest.raises(ContractError, match="wrong signature of PeterNeumann"):
            open_note(note, [NoteVerifier(PETER), NoteVerifier(ENOCH)])


def test_a_wrong_signature_of_an_unknown_key_does_not_matter() -> None:
    assert NoteVerifier(PETER).open(f"{TEXT}\n{PETER_LINE}{wrong(ENOCH_LINE)}") == TEXT


def test_signatures_of_other_algorithms_are_passed_over() -> None:
    other = "— PeterNeumann " + base64.b64encode(bytes(4) + bytes(200)).decode() + "\n"
    assert NoteVerifier(PETER).open(f"{TEXT}\n{other}{PETER_LINE}") == TEXT


@given(st.integers(0, len(TEXT) - 1), st.characters(codec="utf-8"))
def test_any_changed_character_of_the_text_is_refused(at: int, character: str) -> None:
    changed = TEXT[:at] + character + TEXT[at + 1 :]
    if changed == TEXT:
        return
    with pytest.raises(ContractError):
        NoteVerifier(PETER).open(f"{changed}\n{PETER_LINE}")


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n",
        TEXT,
        f"{TEXT}\n",
        f"{TEXT}{PETER_LINE}",
        f"{TEXT}\n{PETER_LINE}\n",
        f"{TEXT}\n{PETER_LINE}".rstrip("\n"),
        f"{TEXT}\n{PETER_LINE}".replace("—", "-"),
        f"{TEXT}\n{PETER_LINE}".replace("— ", "—  "),
        f"{TEXT}\n{PETER_LINE}".replace("\n", "\r\n"),
        f"{TEXT}\n{PETER_LINE}".replace("=\n", "\n"),
        f"{TEXT}\n{PETER_LINE}".replace("x08g", "!08g"),
        f"{TEXT}\n— PeterNeumann xwog\n",
        f"{TEXT}\n— Peter+Neumann {PETER_LINE.split(' ')[2]}",
        f"{TEXT}\tx\n\n{PETER_LINE}",
        f"{TEXT}\n" + PETER_LINE * 101,
        "x" * 1_000_001,
        f"\ud800\n\n{PETER_LINE}",
    ],
)
def test_a_malformed_note_is_refused(note: str) -> None:
    with pytest.raises(ContractError):
        NoteVerifier(PETER).open(note)


@pytest.mark.parametrize("text", ["", "no newline", "tab\there\n", "nul\0\n", "\x7f\x1b\n", "\ud800\n"])
def test_a_text_that_cannot_be_a_note_is_not_signed(text: str) -> None:
    with pytest.raises(ContractError, match="note text"):
        NoteSigner.parse(PETER_PRIVATE).sign(text)


@pytest.mark.parametrize("name", ["", "with space", "with+plus", "with\nnewline", "with\u2003space"])
def test_a_key_name_that_would_break_the_format_is_refused(name: str) -> None:
    with pytest.raises(ContractError, match="name"):
        NoteSigner(name, Ed25519PrivateKey.generate())


def test_every_mangled_verifier_key_is_refused() -> None:
    for start in range(len(PETER)):
        for end in range(start + 1, len(PETER) + 1):
            if (start, end) != (0, len(PETER)):
                with pytest.raises(ContractError):
                    NoteVerifier(PETER[start:end])


@pytest.mark.parametrize(
    "key",
    [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        PETER_PRIVATE,
    ],
)
def test_a_key_of_another_length_algorithm_or_half_is_refused(key: str) -> None:
    with pytest.raises(ContractError):
        NoteVerifier(key)


def test_a_private_key_with_anothers_hash_is_refused_without_showing_it() -> None:
    for text in (PETER_PRIVATE.replace("c74f20a3", "c74f20a4"), PETER_PRIVATE[:-3], PETER, ""):
        with pytest.raises(ContractError) as caught:
            NoteSigner.parse(text)
        assert "YEKFALV" not in str(caught.value)


def test_a_key_file_may_end_in_a_newline() -> None:
    assert NoteSigner.parse(f"{PETER_PRIVATE}\n").verifier_key == PETER
    assert NoteVerifier(f"{PETER}\n").open(NOTE) == TEXT


def test_no_repr_shows_a_private_key() -> None:
    assert repr(NoteSigner.parse(PETER_PRIVATE)) == f"NoteSigner({PETER})"
