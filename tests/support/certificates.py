"""Certificates for everyone's tests: one authority per session, made by the real `center.pki`.

Use the fixture `certificates` (a `CertificateShop`), registered in `tests/conftest.py` or imported into a test file:
`from support.certificates import certificates  # noqa: F401`.
"""

from pathlib import Path

import pytest

from center import pki
from center.pki import Issued


class CertificateShop:
    """One CA of ours (`ours`) and one nobody knows (`foreign`); each name is issued once and reused."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "ours"
        self.foreign_directory = directory / "foreign"
        self.authority = pki.create_authority(self.directory)
        self.foreign_authority = pki.create_authority(self.foreign_directory, "somebody else")
        self._issued: dict[tuple[str, str], Issued] = {}

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def crl_file(self) -> Path:
        return self.directory / "ca.crl"

    def pole(self, pole_id: str = "pole-1") -> Issued:
        """A valid pole."""
        return self._once("pole", pole_id, lambda: pki.issue_pole(self.directory, pole_id))

    def center(self, name: str = "center-ingest") -> Issued:
        """A valid center process; its server name is localhost and 127.0.0.1."""
        return self._once("center", name, lambda: pki.issue_center(self.directory, name))

    def person(self, name: str = "kim-operator") -> Issued:
        return self._once("person", name, lambda: pki.issue_person(self.directory, name))

    def expired_pole(self, pole_id: str = "pole-expired") -> Issued:
        """A pole of our CA whose certificate ended twelve hours ago or more."""
        return self._once("expired", pole_id, lambda: pki.issue_pole(self.directory, pole_id, days=-1))

    def foreign_pole(self, pole_id: str = "pole-1") -> Issued:
        """The same name, signed by an authority that nobody trusts; its `ca_file` is still ours, to connect with."""

        def issue() -> Issued:
            theirs = pki.issue_pole(self.foreign_directory, pole_id)
            return Issued(theirs.name, theirs.cert_file, theirs.key_file, self.ca_file)

        return self._once("foreign", pole_id, issue)

    def _once(self, kind: str, name: str, issue: object) -> Issued:
        if (kind, name) not in self._issued:
            assert callable(issue)
            self._issued[kind, name] = issue()
        return self._issued[kind, name]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateShop:
    return CertificateShop(tmp_path_factory.mktemp("pki"))
