import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from support.certificates import CertificateShop, certificates

from center import pki
from center.errors import PkiError
from center.pki import Issued

__all__ = ["certificates"]


def openssl_verify(
    shop: CertificateShop, issued: Issued, purpose: str, *words: str
) -> subprocess.CompletedProcess[str]:
    command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", str(shop.ca_file), *words]
    return subprocess.run([*command, str(issued.cert_file)], capture_output=True, text=True, check=False)


def read(issued: Issued) -> x509.Certificate:
    return x509.load_pem_x509_certificate(issued.cert_file.read_bytes())


def common_name(issued: Issued) -> object:
    return read(issued).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value


@pytest.mark.parametrize("kind", ["pole", "center", "person"])
def test_openssl_accepts_every_kind_strictly(certificates: CertificateShop, kind: str) -> None:
    done = openssl_verify(certificates, getattr(certificates, kind)(), "sslclient")
    assert done.returncode == 0, done.stderr


def test_only_a_center_process_is_accepted_as_a_server(certificates: CertificateShop) -> None:
    assert openssl_verify(certificates, certificates.center(), "sslserver").returncode == 0
    assert openssl_verify(certificates, certificates.pole(), "sslserver").returncode != 0
    assert openssl_verify(certificates, certificates.person(), "sslserver").returncode != 0


def test_openssl_refuses_expired_and_foreign_ones(certificates: CertificateShop) -> None:
    assert "expired" in openssl_verify(certificates, certificates.expired_pole(), "sslclient").stderr
    assert "unable to get local issuer" in openssl_verify(certificates, certificates.foreign_pole(), "sslclient").stderr


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_center_process_is_reached_by_this_machines_names(certificates: CertificateShop, host: str) -> None:
    flag = "-verify_ip" if host[0].isdigit() else "-verify_hostname"
    assert openssl_verify(certificates, certificates.center(), "sslserver", flag, host).returncode == 0


def test_the_common_name_is_the_identity_and_a_persons_is_never_a_poles(certificates: CertificateShop) -> None:
    assert common_name(certificates.pole("pole-1")) == "pole-1"
    assert common_name(certificates.center("center-ingest")) == "center-ingest"
    person = str(common_name(certificates.person("kim-operator")))
    assert person == "person.kim-operator"
    assert not pki.is_pole_name(person)
    assert not pki.is_pole_name("center-alarms")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "center",
        "center-alarms",
        "Pole-1",
        "p/1",
        "p+1",
        "p#",
        "-p",
        "p-",
        "p.1",
        "p\n",
        "p" * 64,
    ],
)
def test_a_name_that_could_pass_for_another_is_refused_for_a_pole(certificates: CertificateShop, name: str) -> None:
    with pytest.raises(PkiError, match="not a pole name"):
        pki.issue_pole(certificates.directory, name)


@pytest.mark.parametrize("name", ["a", "7", "pole-1", "centerville", "p" * 63])
def test_every_other_name_of_the_contract_is_a_poles(name: str) -> None:
    assert pki.is_pole_name(name)


def test_a_center_identity_must_say_so(certificates: CertificateShop) -> None:
    with pytest.raises(PkiError, match="must begin with center-"):
        pki.issue_center(certificates.directory, "pole-1")


def test_keys_are_for_their_owner_only(certificates: CertificateShop) -> None:
    for issued in (certificates.authority, certificates.pole(), certificates.center(), certificates.person()):
        assert issued.key_file.stat().st_mode & 0o777 == 0o600


def test_serial_numbers_are_long_and_differ(certificates: CertificateShop) -> None:
    numbers = {read(certificates.pole(f"pole-{n}")).serial_number for n in range(2, 6)}
    assert len(numbers) == 4
    assert min(numbers).bit_length() > 64


def test_a_poles_certificate_cannot_issue_others_nor_serve(certificates: CertificateShop) -> None:
    certificate = read(certificates.pole())
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_nothing_is_ever_overwritten(certificates: CertificateShop) -> None:
    before = certificates.pole().key_file.read_bytes()
    with pytest.raises(PkiError, match="exists already"):
        pki.issue_pole(certificates.directory, "pole-1")
    with pytest.raises(PkiError, match="exists already"):
        pki.create_authority(certificates.directory)
    assert certificates.pole().key_file.read_bytes() == before


def test_without_an_authority_the_next_step_is_said(tmp_path: Path) -> None:
    with pytest.raises(PkiError, match="pki init"):
        pki.issue_pole(tmp_path, "pole-1")


def test_a_revoked_certificate_is_refused_by_openssl_and_others_are_not(tmp_path: Path) -> None:
    shop = CertificateShop(tmp_path)
    check = ("-crl_check", "-CRLfile", str(shop.crl_file))
    assert openssl_verify(shop, shop.pole("pole-1"), "sslclient", *check).returncode == 0
    pki.revoke(shop.directory, shop.pole("pole-1").cert_file)
    assert "revoked" in openssl_verify(shop, shop.pole("pole-1"), "sslclient", *check).stderr
    assert openssl_verify(shop, shop.pole("pole-2"), "sslclient", *check).returncode == 0


def test_revocations_only_grow_and_twice_is_once(tmp_path: Path) -> None:
    shop = CertificateShop(tmp_path)
    for name in ("pole-1", "pole-2", "pole-1"):
        pki.revoke(shop.directory, shop.pole(name).cert_file)
    listed = {entry.serial_number for entry in x509.load_pem_x509_crl(shop.crl_file.read_bytes())}
    assert listed == {read(shop.pole(name)).serial_number for name in ("pole-1", "pole-2")}


def test_a_certificate_of_another_authority_cannot_be_revoked_here(certificates: CertificateShop) -> None:
    with pytest.raises(PkiError, match="nothing revoked"):
        pki.revoke(certificates.directory, certificates.foreign_pole().cert_file)


def test_a_lost_revocation_list_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    shop = CertificateShop(tmp_path)
    shop.crl_file.unlink()
    with pytest.raises(PkiError, match="refusing to lose revocations"):
        pki.revoke(shop.directory, shop.pole().cert_file)
