"""The operator of an unattended demo: answers bells over the console's own API with a person's certificate."""

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

from demo_site import OPERATOR, Site

TIMEOUT_S = 5.0


class Operator:
    """One person at the console, by client certificate; every call is one HTTPS request to loopback."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._csrf = ""

    def enter(self) -> bool:
        """Return whether the console lets us in now."""
        try:
            self._csrf = str(self._call("/api/session")["csrf"])
        except OSError:
            return False
        return True

    def entry_link(self) -> str:
        """Return the one-time link for a browser."""
        return (self._site.center / "state" / "console-entry-link").read_text(encoding="utf-8").strip()

    def incidents(self, state: str) -> list[dict[str, Any]]:
        """Return the incidents in `state` (open, answered, closed, all); newest first.

        Raises:
            OSError: the console does not answer.
        """
        found: list[dict[str, Any]] = self._call(f"/api/incidents?state={state}")["incidents"]
        return found

    def answer(self, incident: str) -> None:
        """Answer an incident.

        Raises:
            OSError: the console refused or does not answer.
        """
        self._post(f"/api/incidents/{incident}/answer", {})

    def close(self, incident: str) -> None:
        """Close an incident as an inspection.

        Raises:
            OSError: the console refused or does not answer.
        """
        self._post(f"/api/incidents/{incident}/close", {"reason": "inspection"})

    def _post(self, path: str, fields: dict[str, str]) -> None:
        """Post once, and once more with a new session: the console may have been restarted meanwhile."""
        try:
            self._call(path, fields)
        except urllib.error.HTTPError as error:
            if error.code not in (401, 403) or not self.enter():
                raise
            self._call(path, fields)

    def _call(self, path: str, fields: dict[str, str] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(self._site.console_url + path)
        if fields is not None:
            request.data = json.dumps(fields).encode()
            request.add_header("Content-Type", "application/json")
            request.add_header("X-CSRF-Token", self._csrf)
        pki = self._site.center / "pki"
        trust = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        trust.load_cert_chain(pki / "people" / f"{OPERATOR}.crt", pki / "people" / f"{OPERATOR}.key")
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=trust) as answer:
            decoded: dict[str, Any] = json.load(answer)
        return decoded
