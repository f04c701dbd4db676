"""DESCRIBE by ourselves: what it says of sound, how it logs in, and that no error text holds a secret."""

import pytest
from support.rtsp_server import SDP_SOUND, SDP_VIDEO, ScriptedRtsp, free_port, reply

from agent.camera.rtsp_probe import answer_challenge, described, offers_sound, parse_address
from agent.camera.rtsp_source import RtspSource
from agent.errors import SourceError

SECRETS = ("viewer", "top-secret", "hidden-path", "hidden-query")
UNAUTHORIZED = (
    'WWW-Authenticate: Digest realm="cam", nonce="abc", qop="auth", opaque="xyz"\nWWW-Authenticate: Basic realm="cam"'
)


def with_secrets(url: str) -> str:
    return url.replace("rtsp://", "rtsp://viewer:top-secret@").replace("/video", "/hidden-path?hidden-query=1")


def ask(url: str, timeout_s: float = 2.0) -> str:
    with described(parse_address(url), timeout_s) as sdp:
        return sdp


@pytest.mark.parametrize(
    ("sdp", "sound"),
    [(SDP_VIDEO, False), (SDP_VIDEO + SDP_SOUND, True), (SDP_SOUND.replace("m=audio", "M=AUDIO"), True), ("", False)],
)
def test_a_description_tells_whether_sound_is_offered(sdp: str, sound: bool) -> None:
    assert offers_sound(sdp) is sound


def test_an_address_is_taken_apart_and_its_name_shows_host_and_port_only() -> None:
    address = parse_address("rtsp://viewer:top%2Dsecret@10.0.0.7/hidden-path?hidden-query=1")
    assert (address.user, address.password, address.port) == ("viewer", "top-secret", 554)
    assert address.url == "rtsp://10.0.0.7:554/hidden-path?hidden-query=1"
    assert address.name == "camera rtsp://10.0.0.7:554"
    assert "viewer" not in repr(address) and "secret" not in repr(address)


@pytest.mark.parametrize(
    "text", ["", "http://a/b", "rtsp:///video", "rtsp://viewer:top-secret@host:99999/x", "viewer:top-secret"]
)
def test_a_wrong_address_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(SourceError, match="rtsp://host") as caught:
        parse_address(text)
    assert "secret" not in str(caught.value)


def test_credentials_are_sent_only_after_the_server_asked() -> None:
    with ScriptedRtsp(
        {"DESCRIBE": [reply("401 Unauthorized", UNAUTHORIZED), reply("200 OK", body=SDP_VIDEO)]}
    ) as camera:
        assert ask(with_secrets(camera.url)) == SDP_VIDEO
    first, second = camera.requests
    assert "Authorization" not in first
    assert 'Digest username="viewer"' in second and "top-secret" not in second


@pytest.mark.parametrize(
    ("challenge", "expected"),
    [
        # RFC 2617, 3.5 without qop: HA1 and HA2 hashed by hand for these values.
        (['Digest realm="cam", nonce="abc"'], 'response="'),
        (['Digest realm="cam", nonce="abc", algorithm=SHA-256, qop="auth"'], "algorithm=SHA-256"),
        (['Digest realm="cam", nonce="abc", algorithm=MD4', 'Basic realm="cam"'], "Basic dmlld2VyOnRvcC1zZWNyZXQ="),
        (['Basic realm="cam"'], "Basic dmlld2VyOnRvcC1zZWNyZXQ="),
    ],
)
def test_a_challenge_is_answered_in_its_own_kind(challenge: list[str], expected: str) -> None:
    answer = answer_challenge(challenge, parse_address("rtsp://viewer:top-secret@cam/video"), "DESCRIBE")
    assert answer is not None and expected in answer


def test_the_digest_is_that_of_the_rfc() -> None:
    # RFC 2069's scheme as RTSP uses it; computed with md5sum from its definition.
    answer = answer_challenge(['Digest realm="r", nonce="n"'], parse_address("rtsp://u:p@h:554/x"), "DESCRIBE")
    # md5(md5("u:r:p") + ":n:" + md5("DESCRIBE:rtsp://h:554/x"))
    assert answer is not None and 'response="68872cef18097c213476a5d39cd6a704"' in answer


def test_an_unknown_challenge_is_not_answered() -> None:
    assert answer_challenge(["Negotiate"], parse_address("rtsp://u:p@h/x"), "DESCRIBE") is None


ANSWERS = [
    ({"DESCRIBE": [reply("401 Unauthorized", UNAUTHORIZED)]}, "refused the credentials; check user and password"),
    ({"DESCRIBE": [reply("403 Forbidden")]}, "refused the credentials"),
    ({"DESCRIBE": [reply("404 Not Found")]}, "no stream of that path; check the address"),
    ({"DESCRIBE": [reply("503 Service Unavailable")]}, "answered 503"),
    ({"DESCRIBE": ["HTTP/1.1 400 Bad Request\r\n\r\n"]}, "does not answer as an rtsp server"),
    ({"DESCRIBE": []}, "did not answer within 0.5 s; check power and cable"),
    ({"DESCRIBE": [reply("200 OK", "Content-Length: 5000")]}, "did not answer within"),
]


@pytest.mark.parametrize(("answers", "sentence"), ANSWERS)
def test_what_is_wrong_is_one_sentence_without_a_secret(answers: dict[str, list[str]], sentence: str) -> None:
    with ScriptedRtsp(answers) as camera, pytest.raises(SourceError, match=sentence) as caught:
        RtspSource(with_secrets(camera.url), read_timeout_s=0.5).open()
    assert_no_secret(caught.value)


def test_a_dead_address_is_one_sentence_without_a_secret() -> None:
    with pytest.raises(SourceError, match="refused the connection; check power, address and port") as caught:
        RtspSource(f"rtsp://viewer:top-secret@127.0.0.1:{free_port()}/hidden-path", read_timeout_s=0.5).open()
    assert_no_secret(caught.value)


def test_what_libav_says_of_the_address_is_not_passed_on() -> None:
    # DESCRIBE works, then the camera refuses SETUP: now the error comes from libav, whose text holds the whole url.
    answers = {
        "OPTIONS": [reply("200 OK", "Public: DESCRIBE, SETUP, PLAY")],
        "DESCRIBE": [reply("200 OK", body=SDP_VIDEO)],
        "SETUP": [reply("461 Unsupported Transport")],
    }
    with ScriptedRtsp(answers) as camera, pytest.raises(SourceError, match="cannot be opened") as caught:
        RtspSource(with_secrets(camera.url), read_timeout_s=2).open()
    assert "SETUP" in camera.methods()
    assert_no_secret(caught.value)


def assert_no_secret(error: BaseException | None) -> None:
    """Look through the error and everything a log would print with it."""
    while error is not None:
        assert not any(secret in str(error) for secret in SECRETS), str(error)
        error = error.__cause__ or error.__context__
