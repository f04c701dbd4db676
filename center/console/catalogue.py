"""The console's words: one JSON catalogue per language, flat keys, Korean first.

Rules:
* every language has exactly the keys of every other (a test holds this);
* a missing key is an error of ours and raises, it is never shown as a blank;
* a value may name `{placeholders}`; what fills them is escaped by the template, never here.
"""

import json
from collections.abc import Mapping
from pathlib import Path

LANGUAGES = ("ko", "en")
DEFAULT_LANGUAGE = "ko"
LOCALES_DIR = Path(__file__).parent / "locales"


class Catalogue:
    """All texts of one language."""

    def __init__(self, language: str, texts: Mapping[str, str]) -> None:
        self.language = language
        self._texts = dict(texts)

    @property
    def keys(self) -> frozenset[str]:
        """Every key of this language."""
        return frozenset(self._texts)

    def has(self, key: str) -> bool:
        """Whether the key is known; for codes that come from outside."""
        return key in self._texts

    def text(self, key: str, **values: object) -> str:
        """Return the text of `key` with its placeholders filled.

        Raises:
            KeyError: the key is in no catalogue.
        """
        return self._texts[key].format(**values) if values else self._texts[key]

    def code(self, prefix: str, code: str) -> str:
        """Return the text of an outside code (a gap's cause, a close reason), or the code itself when unknown."""
        return self._texts.get(f"{prefix}.{code}", code)

    def ago(self, seconds: float) -> str:
        """Return an age in the largest unit that fits: `12초 전`, `3 h ago`."""
        for unit, length_s in (("day", 86_400), ("hour", 3600), ("minute", 60)):
            if seconds >= length_s:
                return self.text(f"ago.{unit}", n=int(seconds // length_s))
        return self.text("ago.second", n=max(0, int(seconds)))


def load_catalogues(directory: Path = LOCALES_DIR) -> dict[str, Catalogue]:
    """Read every language of `LANGUAGES`."""
    return {
        language: Catalogue(language, json.loads((directory / f"{language}.json").read_text(encoding="utf-8")))
        for language in LANGUAGES
    }


def choose_language(cookie: str | None) -> str:
    """Return the cookie's language when we speak it, else Korean."""
    return cookie if cookie in LANGUAGES else DEFAULT_LANGUAGE
