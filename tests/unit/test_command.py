"""A pole obeys a command that its officers signed, for itself, now, once; and nothing else whatever the bytes."""

import json
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.command_kit import POLE, Officer, Staff, payload_of, with_header, with_payload

from agent.contract.canonical_json import canonical_bytes
from agent.contract.command import Accept, Challenge, Context, Refuse, judge
from agent.contract.errors import ContractError
from agent.contract.jws import (
    MAX_BYTES,
    b64url_decode,
    b64url_encode,
    cosign_jws,
    key_id,
    parse_jws,
    public_key_of,
    sign_jws,
)

NOW = 1_790_000_000_000_000
STAFF = Staff()
KIM, LEE = STAFF.kim, STAFF.lee
CONTEXT = STAFF.context(NOW)
SIGNED = KIM.sign(NOW)
APPROVED = LEE.signer.cosign(KIM.sign(NOW, "reboot"))
HEADER = {"alg": "EdDSA", "kid": KIM.signer.kid, "typ": "pole-command"}

# RFC 8037, appendix A: the key of A.1, the thumbprint of A.3, the signature of A.4.
RFC_D = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
RFC_X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
RFC_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
RFC_JWS = (
    b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    b"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)


def refusal(data: bytes, context: Context = CONTEXT) -> str:
    verdict = judge(data, context)
    assert isinstance(verdict, Refuse), verdict
    return verdict.refusal


def test_a_rightly_signed_command_is_accepted():
    verdict = judge(SIGNED, CONTEXT)
    assert isinstance(verdict, Accept)
    assert (verdict.operation.name, verdict.signers[0].officer) == ("rebirth", "kim")


# --- the signature format


def test_the_vector_of_rfc_8037_verifies_and_comes_out_of_our_signer():
    private = Ed25519PrivateKey.from_private_bytes(b64url_decode(RFC_D))
    assert sign_jws(b'{"alg":"EdDSA"}', b"Example of Ed25519 signing", private) == RFC_JWS
    jws = parse_jws(RFC_JWS)
    assert jws.payload == b"Example of Ed25519 signing"
    assert jws.signatures[0].verifies(public_key_of(b64url_decode(RFC_X)))
    assert not jws.signatures[0].verifies(KIM.private_key.public_key())


def test_a_key_id_is_the_thumbprint_of_rfc_8037():
    assert key_id(b64url_decode(RFC_X)) == RFC_THUMBPRINT


@pytest.mark.parametrize("which", [0, 1])
def test_openssl_verifies_every_signature_of_ours(tmp_path, which):
    general = json.loads(APPROVED)
    one, officer = general["signatures"][which], (KIM, LEE)[which]
    prefix = bytes.fromhex("302a300506032b6570032100")  # SubjectPublicKeyInfo of Ed25519, RFC 8410
    (tmp_path / "key.der").write_bytes(prefix + officer.signer.public)
    (tmp_path / "signed").write_text(f"{one['protected']}.{general['payload']}")
    (tmp_path / "signature").write_bytes(b64url_decode(one["signature"]))
    about = ["-keyform", "DER", "-inkey", "key.der", "-in", "signed", "-sigfile", "signature"]
    words = ["pkeyutl", "-verify", "-rawin", "-pubin", *about]
    done = subprocess.run(["openssl", *words], cwd=tmp_path, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    (tmp_path / "signed").write_text("x")
    assert subprocess.run(["openssl", *words], cwd=tmp_path, capture_output=True, timeout=20).returncode != 0


def test_a_third_signature_is_refused():
    with pytest.raises(ContractError, match="signatures already"):
        cosign_jws(APPROVED, b"{}", KIM.private_key)


# --- forged and tampered


def test_a_forged_command_is_refused():
    """Somebody else's key under an officer's key id."""
    forger = Officer("kim", "crew")
    forged = sign_jws(canonical_bytes(HEADER), payload_of(KIM.command(NOW)), forger.private_key)
    assert refusal(forged) == "signature"


def test_a_foreign_key_is_refused():
    assert refusal(Officer("kim", "crew").sign(NOW)) == "key-unknown"


def test_a_revoked_key_is_refused():
    assert refusal(SIGNED, STAFF.context(NOW, keys=STAFF.key_set(2, without=KIM))) == "key-unknown"


def test_a_pole_without_keys_obeys_nobody():
    assert refusal(SIGNED, STAFF.context(NOW, keys=None)) == "no-keys"


def test_a_tampered_payload_is_refused():
    assert refusal(with_payload(SIGNED, op="reboot")) == "signature"
    assert refusal(with_payload(SIGNED, exp_us=NOW + 301_000_000)) == "signature"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"alg": "none"}, "algorithm"),
        ({"alg": "HS256"}, "algorithm"),
        ({"alg": "Ed25519"}, "algorithm"),
        ({"alg": "eddsa"}, "algorithm"),
        ({"kid": LEE.signer.kid}, "signature"),
        ({"typ": "JWT"}, "header"),
        ({"crit": ["exp"], "exp": 1}, "header"),
        ({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": RFC_X}}, "header"),
        ({"jku": "https://example.com/keys"}, "header"),
        ({"x5c": ["AA=="]}, "header"),
        ({"b64": False}, "header"),
        ({"zip": "DEF"}, "header"),
    ],
)
def test_a_tampered_header_is_refused(changes, code):
    assert refusal(with_header(SIGNED, **changes)) == code


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ({"alg": "none"}, "algorithm"),
        ({"crit": ["b64"], "b64": False}, "header"),
        ({"crit": []}, "header"),
        ({"jwk": {"kty": "OKP"}}, "header"),
        ({"x5u": "https://example.com"}, "header"),
        ({"kid": 7}, "header"),
    ],
)
def test_a_header_of_another_shape_is_refused_even_when_rightly_signed(extra, code):
    signed = sign_jws(canonical_bytes(HEADER | extra), payload_of(KIM.command(NOW)), KIM.private_key)
    assert refusal(signed) == code


def test_alg_none_with_an_empty_signature_is_refused():
    header = b64url_encode(canonical_bytes(HEADER | {"alg": "none"}))
    payload = b64url_encode(payload_of(KIM.command(NOW)))
    assert refusal(f"{header}.{payload}.".encode()) == "malformed"
    assert refusal(f"{header}.{payload}.{b64url_encode(bytes(64))}".encode()) == "algorithm"


def test_another_spelling_of_the_same_header_or_payload_is_refused():
    spaced = json.dumps(HEADER).encode()
    assert refusal(sign_jws(spaced, payload_of(KIM.command(NOW)), KIM.private_key)) == "header"
    loose = json.dumps(json.loads(payload_of(KIM.command(NOW)))).encode()
    assert refusal(sign_jws(canonical_bytes(HEADER), loose, KIM.private_key)) == "malformed"


def test_a_header_that_has_no_canonical_form_is_refused_and_not_raised():
    header = b'{"alg":"EdDSA","kid":"\\ud800","typ":"pole-command"}'
    assert refusal(sign_jws(header, b"{}", KIM.private_key)) == "header"


@pytest.mark.parametrize("changes", [{"sub": "lee"}, {"role": "admin"}, {"iss": LEE.signer.kid}])
def test_a_claim_to_be_another_officer_or_role_than_the_key_is_refused(changes):
    assert refusal(KIM.sign(NOW, **changes)) == "issuer"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"[" * 10_000,
        b"\xff\xfe",
        canonical_bytes(json.loads(payload_of(KIM.command(NOW))) | {"colour": "red"}),
        canonical_bytes(json.loads(payload_of(KIM.command(NOW))) | {"v": 2}),
        canonical_bytes(json.loads(payload_of(KIM.command(NOW))) | {"jti": "0" * 31 + "\n"}),
        canonical_bytes(json.loads(payload_of(KIM.command(NOW))) | {"reason": "  "}),
        canonical_bytes(json.loads(payload_of(KIM.command(NOW))) | {"args": {"a": {"b": 1}}}),
    ],
)
def test_a_signed_payload_that_is_no_command_is_refused(payload):
    assert refusal(sign_jws(canonical_bytes(HEADER), payload, KIM.private_key)) == "malformed"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"..",
        b"a.b.c.d",
        b"{",
        b"{}",
        b"{" * 10_000,
        b"\xff.\xff.\xff",
        SIGNED + b"=",
        SIGNED + b"\n",
        b" " + SIGNED,
        b"A" * (MAX_BYTES + 1),
        APPROVED + b" ",
        APPROVED.replace(b'"payload"', b'"header":{},"payload"'),
        json.dumps(json.loads(APPROVED)).encode(),
        canonical_bytes(json.loads(APPROVED) | {"signatures": []}),
        canonical_bytes(json.loads(APPROVED) | {"signatures": json.loads(APPROVED)["signatures"] * 2}),
    ],
)
def test_bytes_that_are_no_command_are_refused_and_never_raise(data):
    assert refusal(data) == "malformed"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([SIGNED, APPROVED]), st.data())
def test_any_flipped_byte_is_refused(signed, data):
    place = data.draw(st.integers(0, len(signed) - 1))
    flip = data.draw(st.integers(1, 255))
    changed = signed[:place] + bytes([signed[place] ^ flip]) + signed[place + 1 :]
    assert isinstance(judge(changed, CONTEXT), Refuse)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=600))
def test_no_bytes_make_the_judge_raise_or_obey(data):
    assert isinstance(judge(data, CONTEXT), Refuse)


@settings(max_examples=60, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=20), st.lists, max_leaves=5))
def test_no_rightly_signed_nonsense_makes_the_judge_raise(value):
    for header, payload in ((canonical_bytes(HEADER), json.dumps(value).encode()), (json.dumps(value).encode(), b"{}")):
        assert isinstance(judge(sign_jws(header, payload, KIM.private_key), CONTEXT), Refuse)


# --- for this pole, now, once


def test_a_wrong_audience_is_refused():
    assert refusal(KIM.sign(NOW, aud="pole-2")) == "audience"


def test_an_expired_command_is_refused():
    assert isinstance(judge(SIGNED, STAFF.context(NOW + 299_999_999)), Accept)
    assert refusal(SIGNED, STAFF.context(NOW + 300_000_000)) == "expired"


def test_a_command_from_the_future_is_refused():
    assert isinstance(judge(KIM.sign(NOW + 30_000_000), CONTEXT), Accept)
    assert refusal(KIM.sign(NOW + 30_000_001)) == "future"


@pytest.mark.parametrize("life_us", [300_000_001, 0, -1])
def test_a_command_that_lives_too_long_or_not_at_all_is_refused(life_us):
    assert refusal(KIM.sign(NOW, exp_us=NOW + life_us)) == "life"


def test_a_replayed_command_is_refused():
    command = KIM.command(NOW)
    assert refusal(KIM.signer.sign(command), STAFF.context(NOW, seen={command.jti})) == "replayed"


def test_a_clock_that_is_not_synced_asks_for_a_nonce():
    assert isinstance(judge(SIGNED, STAFF.context(NOW, clock_synced=False)), Challenge)
    years_off = STAFF.context(0, clock_synced=False, nonces={"n"})
    assert isinstance(judge(KIM.sign(NOW, nonce="n"), years_off), Accept)
    assert refusal(KIM.sign(NOW, nonce="other"), years_off) == "nonce"
    assert refusal(KIM.sign(NOW, nonce="n"), STAFF.context(NOW)) == "nonce"


def test_a_nonce_does_not_open_a_replay():
    command = KIM.command(NOW, nonce="n")
    assert refusal(KIM.signer.sign(command), STAFF.context(0, nonces={"n"}, seen={command.jti})) == "replayed"


def test_a_memory_younger_than_the_command_asks_for_a_nonce():
    assert isinstance(judge(SIGNED, STAFF.context(NOW, floor_us=NOW + 300_000_000)), Challenge)
    assert isinstance(judge(SIGNED, STAFF.context(NOW, floor_us=NOW + 299_999_999)), Accept)


# --- by those who may


def test_a_wrong_role_is_refused():
    assert refusal(STAFF.inv.sign(NOW)) == "role"
    assert refusal(STAFF.oh.sign(NOW, "restart-service", args={"service": "bell"})) == "role"
    assert isinstance(judge(STAFF.oh.sign(NOW), CONTEXT), Accept)


def test_an_unknown_operation_is_refused():
    assert refusal(KIM.sign(NOW, "bell-off")) == "operation"


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("rebirth", {"a": 1}),
        ("mode", {}),
        ("mode", {"mode": "off"}),
        ("mode", {"mode": "test", "for_s": 901}),
        ("mode", {"mode": "maintenance", "for_s": 14_401}),
        ("mode", {"mode": "normal", "for_s": 60}),
        ("bell-test", {"wait_s": 301}),
        ("indicator-test", {"each_s": "2"}),
        ("restart-service", {}),
        ("restart-service", {"service": "sshd"}),
        ("restart-service", {"service": "camera@front\n"}),
        ("restart-service", {"service": "camera@../x"}),
        ("log-export", {"service": "bell", "lines": 501}),
    ],
)
def test_arguments_that_are_unknown_or_out_of_bounds_are_refused(op, args):
    assert refusal(KIM.sign(NOW, op, args=args)) == "arguments"


def test_one_signature_where_two_are_needed_is_refused():
    assert refusal(KIM.sign(NOW, "reboot")) == "second-signature"


def test_two_signatures_by_the_same_officer_are_refused():
    both = STAFF.kim_again.signer.cosign(KIM.sign(NOW, "reboot"))
    assert refusal(both) == "same-officer"
    assert refusal(KIM.signer.cosign(KIM.sign(NOW, "reboot"))) == "same-officer"


def test_two_different_officers_may_reboot():
    verdict = judge(APPROVED, CONTEXT)
    assert isinstance(verdict, Accept)
    assert [key.officer for key in verdict.signers] == ["kim", "lee"]


def test_the_second_officer_needs_the_role_too():
    assert refusal(STAFF.oh.signer.cosign(KIM.sign(NOW, "reboot"))) == "role"


def test_a_second_signature_that_is_wrong_refuses_the_whole_command():
    stranger = Officer("park", "admin")
    assert refusal(stranger.signer.cosign(KIM.sign(NOW, "reboot"))) == "key-unknown"
    general = json.loads(APPROVED)
    general["signatures"][1]["signature"] = general["signatures"][0]["signature"]
    assert refusal(canonical_bytes(general)) == "signature"


def test_an_approval_cannot_be_moved_to_another_command():
    general, other = json.loads(APPROVED), json.loads(LEE.signer.cosign(KIM.sign(NOW, "reboot")))
    other["signatures"][1] = general["signatures"][1]
    assert refusal(canonical_bytes(other)) == "signature"


def test_the_issuer_of_two_is_the_first_signer():
    general = json.loads(APPROVED)
    general["signatures"].reverse()
    assert refusal(canonical_bytes(general)) == "issuer"


def test_a_reboot_that_comes_too_often_is_refused():
    recent = {"reboot": (NOW - 3_000_000_000, NOW - 1_000_000)}
    assert refusal(APPROVED, STAFF.context(NOW, recent_us=recent)) == "rate"
    past = {"reboot": (NOW - 3_600_000_000, NOW - 1_000_000)}
    assert isinstance(judge(APPROVED, STAFF.context(NOW, recent_us=past)), Accept)


def test_a_clock_stepped_back_does_not_open_the_rate_gate():
    assert refusal(APPROVED, STAFF.context(NOW, recent_us={"reboot": (NOW + 60_000_000, NOW + 61_000_000)})) == "rate"


def test_refusals_before_the_signature_speak_for_nobody():
    verdict = judge(with_payload(SIGNED, sub="mayor"), CONTEXT)
    assert isinstance(verdict, Refuse)
    assert (verdict.command, verdict.signers) == (None, ())
    assert POLE not in verdict.detail
