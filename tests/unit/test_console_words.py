"""Every word of the console comes from a catalogue, and both languages say the same things."""

import json
import re
from string import Formatter

import pytest

from agent.contract.faults import FAULTS
from agent.contract.messages import CameraReading
from agent.contract.records import GapCause
from center.console.catalogue import LANGUAGES, LOCALES_DIR, Catalogue, choose_language, load_catalogues
from center.console.rendering import TEMPLATES_DIR
from center.store.alarms import REASONS

TEMPLATES = sorted(TEMPLATES_DIR.glob("*.html"))
WORD = re.compile(r"[A-Za-z\uac00-\ud7a3]{2,}")


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def bare(html: str) -> str:
    """Return what a template says in its own words: no tags, no Jinja, no comments."""
    html = re.sub(r"\{#.*?#\}|\{\{.*?\}\}|\{%.*?%\}|<!doctype html>|<!--.*?-->", " ", html, flags=re.S)
    return re.sub(r"<[^>]*>", " ", html)


def test_both_languages_have_the_same_keys() -> None:
    catalogues = load_catalogues()
    assert catalogues["ko"].keys == catalogues["en"].keys


def test_both_languages_fill_the_same_placeholders() -> None:
    texts = [json.loads((LOCALES_DIR / f"{language}.json").read_text(encoding="utf-8")) for language in LANGUAGES]
    for key in texts[0]:
        assert placeholders(texts[0][key]) == placeholders(texts[1][key]), key


def test_no_text_is_empty() -> None:
    for language in LANGUAGES:
        for key, text in json.loads((LOCALES_DIR / f"{language}.json").read_text(encoding="utf-8")).items():
            assert text.strip(), f"{language} {key}"


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_words_of_its_own(template) -> None:
    assert WORD.findall(bare(template.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_what_is_read_aloud_comes_from_a_catalogue_too(template) -> None:
    html = template.read_text(encoding="utf-8")
    for name, value in re.findall(r'\b(aria-label|title|placeholder|alt|data-label)="([^"]*)', html):
        assert not WORD.findall(re.sub(r"\{\{.*", "", value)), f"{name}={value}"


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_script_style_or_handlers_of_its_own(template) -> None:
    html = template.read_text(encoding="utf-8")
    assert not re.search(
        r"\sstyle=|<style|\son[a-z]+=|javascript:|<script(?! src=\"/static/)|https?://(?!www\.w3)", html
    )
    assert "|safe" not in html and "autoescape" not in html


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_form_that_posts_carries_the_token(template) -> None:
    for form in re.findall(r'<form[^>]*method="post".*?</form>', template.read_text(encoding="utf-8"), flags=re.S):
        assert "csrf_field" in form or 'name="token"' in form


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_of_the_contract_has_words(language: str) -> None:
    words = load_catalogues()[language]
    codes = [f"reason.{reason}" for reason in REASONS]
    codes += [f"cause.{cause}" for cause in GapCause.__args__]
    codes += [f"camera.{state}" for state in CameraReading.__annotations__["state"].__args__]
    codes += [f"severity.{fault.severity}" for fault in FAULTS.values()]
    codes += [f"line.{line}" for line in ("idle", "pressed", "cut", "short", "contact-fault")]
    assert [code for code in codes if not words.has(code)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_key_that_a_template_asks_for_exists(language: str) -> None:
    words = load_catalogues()[language]
    asked = {
        key for path in TEMPLATES for key in re.findall(r'\bt\("([a-z_.]+[a-z])"', path.read_text(encoding="utf-8"))
    }
    assert [key for key in sorted(asked) if not words.has(key)] == []


def test_an_unknown_code_is_shown_as_it_came() -> None:
    assert load_catalogues()["ko"].code("cause", "meteor") == "meteor"


def test_a_missing_key_is_an_error() -> None:
    with pytest.raises(KeyError):
        load_catalogues()["en"].text("no.such.key")


def test_korean_comes_first() -> None:
    assert [choose_language(cookie) for cookie in (None, "", "fr", "ko", "en")] == ["ko", "ko", "ko", "ko", "en"]


def test_an_age_is_told_in_its_largest_unit() -> None:
    words = Catalogue("x", {f"ago.{unit}": "{n} " + unit for unit in ("second", "minute", "hour", "day")})
    told = [words.ago(seconds) for seconds in (-5, 0, 59.9, 60, 3599, 3600, 86_399, 200_000)]
    assert told == ["0 second", "0 second", "59 second", "1 minute", "59 minute", "1 hour", "23 hour", "2 day"]
