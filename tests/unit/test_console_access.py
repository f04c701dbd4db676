"""Who gets in, how often a link works, and what a session is worth (ADR 0002)."""

import stat
from pathlib import Path

import pytest

from center.console.access import (
    MAX_SESSIONS,
    SESSION_S,
    EntryLink,
    Sessions,
    clean_name,
    person_of,
)
from center.console.entry_pages import safe_back
from center.console.uvicorn_server import Listen
from center.ingest.uvicorn_mtls import Peer

URL = "https://127.0.0.1:8444"


def token_of(link: EntryLink) -> str:
    return link.path.read_text(encoding="utf-8").strip().partition("token=")[2]


def test_the_link_stands_in_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    link = EntryLink(tmp_path, URL)
    assert stat.S_IMODE(link.path.stat().st_mode) == 0o600
    assert link.path.read_text(encoding="utf-8") == f"{URL}/enter?token={token_of(link)}\n"
    assert len(token_of(link)) >= 43


def test_the_link_works_once_and_a_new_one_takes_its_place(tmp_path: Path) -> None:
    link = EntryLink(tmp_path, URL)
    token = token_of(link)
    assert link.use(token)
    assert not link.use(token)
    assert token_of(link) != token
    assert stat.S_IMODE(link.path.stat().st_mode) == 0o600
    assert link.use(token_of(link))


def test_looking_at_the_form_does_not_spend_the_link(tmp_path: Path) -> None:
    link = EntryLink(tmp_path, URL)
    assert link.fits(token_of(link)) and link.fits(token_of(link))


@pytest.mark.parametrize("token", ["", "x", "한글", "a" * 43])
def test_another_token_does_not_fit(tmp_path: Path, token: str) -> None:
    assert not EntryLink(tmp_path, URL).use(token)


def test_a_restart_replaces_the_old_link(tmp_path: Path) -> None:
    old = token_of(EntryLink(tmp_path, URL))
    assert not EntryLink(tmp_path, URL).fits(old)


def test_a_session_is_found_by_its_id_only() -> None:
    sessions = Sessions()
    session = sessions.start("김하늘")
    assert sessions.get(session.id) == session
    assert sessions.get("") is None
    assert sessions.get(None) is None
    assert sessions.get(session.csrf) is None


def test_a_session_ends_after_a_shift() -> None:
    now = [1000.0]
    sessions = Sessions(lambda: now[0])
    session = sessions.start("kim")
    now[0] += SESSION_S
    assert sessions.get(session.id) is not None
    now[0] += 1
    assert sessions.get(session.id) is None


def test_leaving_ends_the_session() -> None:
    sessions = Sessions()
    session = sessions.start("kim")
    sessions.end(session.id)
    sessions.end(session.id)
    assert sessions.get(session.id) is None


def test_sessions_are_bounded_and_the_oldest_gives_way() -> None:
    sessions = Sessions()
    first = sessions.start("first")
    others = [sessions.start(str(number)) for number in range(MAX_SESSIONS)]
    assert sessions.get(first.id) is None
    assert sessions.get(others[0].id) is not None


def test_a_certificate_holder_has_one_session_with_a_token_of_its_own() -> None:
    sessions = Sessions()
    kim, lee = sessions.of_person("kim"), sessions.of_person("lee")
    assert sessions.of_person("kim").csrf == kim.csrf
    assert len({kim.csrf, kim.id, lee.csrf, lee.id}) == 4
    assert Sessions().of_person("kim").csrf != kim.csrf
    assert sessions.get(kim.id) is None, "a certificate's session is no cookie"


@pytest.mark.parametrize(
    ("common_name", "person"),
    [
        ("person.kim-operator", "kim-operator"),
        ("gangseo-0142", None),
        ("center-ingest", None),
        ("person.", None),
        ("", None),
    ],
)
def test_only_a_person_s_certificate_opens_the_console(common_name: str, person: str | None) -> None:
    assert person_of(Peer(common_name, 1)) == person


def test_no_certificate_is_nobody() -> None:
    assert person_of(None) is None


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("  김  하늘 ", "김 하늘"),
        ("", None),
        ("   ", None),
        ("x" * 61, None),
        ("a\x00b", None),
        ("<b>", "<b>"),
        ("a\u202eb", None),
    ],
)
def test_a_name_is_put_in_order_or_refused(typed: str, name: str | None) -> None:
    assert clean_name(typed) == name


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("::", False),
        ("center.example", False),
    ],
)
def test_only_loopback_counts_as_local(host: str, local: bool, tmp_path: Path) -> None:
    assert Listen(host, 1, tmp_path, tmp_path, tmp_path).is_local is local


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\nb", "/" + "x" * 300]
)
def test_going_back_never_leaves_the_console(path: str) -> None:
    assert safe_back(path) == "/"


def test_going_back_keeps_the_page() -> None:
    assert safe_back("/poles/a?window=day") == "/poles/a?window=day"
