"""The center's own certificate authority: who a pole, a center process or a person is.

Rules:
* one folder: `ca.crt`, `ca.key`, `ca.crl` and `poles/`, `center/`, `people/` with `<name>.crt` and `<name>.key`;
* the common name is the identity: a center process's begins with `center-`, a person's with `person.`, a pole's is
  what docs/contract allows, but neither `center` nor `center-...`: so no certificate of one kind passes for another
  where only the CN is looked at (mosquitto, ingest);
* keys are P-256 (mosquitto, OpenSSL 3 and Chromium take them), mode 0600 from the first byte, never overwritten;
* serial numbers are random; certificates begin a day early (a pole without a clock battery boots in the past);
* `revoke` rewrites `ca.crl` by rename; mosquitto reads it again on SIGHUP but keeps a session that stands (FACTS);
* revocations only grow: a serial once in the list stays.
"""

import contextlib
import datetime
import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from center.errors import PkiError

POLE_NAME = re.compile(r"(?!center(?:-|\Z))[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
AUTHORITY_DAYS = 3653
CERTIFICATE_DAYS = 397
CRL_DAYS = 3653
LOCAL_HOSTS = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Issued:
    """One certificate on disk. `name` is its CN."""

    name: str
    cert_file: Path
    key_file: Path
    ca_file: Path


def is_pole_name(name: str) -> bool:
    """Return whether `name` may be a pole's identity (and so the CN of its certificate)."""
    return POLE_NAME.fullmatch(name) is not None


def create_authority(directory: Path, common_name: str = "pole center CA", days: int = AUTHORITY_DAYS) -> Issued:
    """Make the authority in `directory`: `ca.key`, `ca.crt`, an empty `ca.crl`.

    Raises:
        PkiError: there is one already.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject(common_name, "authority")
    builder = _builder(name, name, key.public_key(), days).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    builder = builder.add_extension(_key_usage(authority=True), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    directory.mkdir(parents=True, exist_ok=True)
    issued = _write(directory / "ca", certificate, key, directory)
    _write_crl(directory, certificate, key, [])
    return issued


def issue_pole(directory: Path, pole_id: str, days: int = CERTIFICATE_DAYS) -> Issued:
    """Issue a pole's client certificate: `poles/<pole_id>.crt`.

    Raises:
        PkiError: not a pole name, already issued, or no authority.
    """
    if not is_pole_name(pole_id):
        raise PkiError(
            f"{pole_id!r} is not a pole name: lower-case letters, digits and hyphens, at most 63, not center-..."
        )
    return _issue(directory, "poles", pole_id, pole_id, "pole", days, [ExtendedKeyUsageOID.CLIENT_AUTH])


def issue_center(
    directory: Path, name: str, hosts: Sequence[str] = LOCAL_HOSTS, days: int = CERTIFICATE_DAYS
) -> Issued:
    """Issue a certificate for one of the center's own processes: `center/<name>.crt`, client and server.

    Raises:
        PkiError: the name does not begin with `center-`, already issued, or no authority.
    """
    if not name.startswith("center-") or not _NAME.fullmatch(name):
        raise PkiError(f"{name!r} is not a center identity: it must begin with center-, as in center-ingest")
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
    return _issue(directory, "center", name, name, "center", days, usages, hosts)


def issue_person(directory: Path, name: str, days: int = CERTIFICATE_DAYS) -> Issued:
    """Issue a person's client certificate: `people/<name>.crt` with the CN `person.<name>`.

    Raises:
        PkiError: not a name, already issued, or no authority.
    """
    if not _NAME.fullmatch(name):
        raise PkiError(f"{name!r} is not a name for a certificate: lower-case letters, digits and hyphens, at most 63")
    return _issue(directory, "people", name, f"person.{name}", "person", days, [ExtendedKeyUsageOID.CLIENT_AUTH])


def revoke(directory: Path, cert_file: Path) -> int:
    """Add the certificate to `ca.crl` and return its serial number; revoking twice changes nothing.

    Raises:
        PkiError: the certificate is unreadable or not of this authority.
    """
    certificate, key = _authority(directory)
    revoked = _read_certificate(cert_file)
    try:
        revoked.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature) as exc:
        raise PkiError(f"{cert_file} was not issued by {directory / 'ca.crt'}: nothing revoked") from exc
    listed = list(_read_crl(directory))
    if all(entry.serial_number != revoked.serial_number for entry in listed):
        listed.append(
            x509.RevokedCertificateBuilder().serial_number(revoked.serial_number).revocation_date(_now()).build()
        )
    _write_crl(directory, certificate, key, listed)
    return revoked.serial_number


def _issue(
    directory: Path,
    folder: str,
    file_name: str,
    common_name: str,
    role: str,
    days: int,
    usages: list[x509.ObjectIdentifier],
    hosts: Sequence[str] = (),
) -> Issued:
    authority, authority_key = _authority(directory)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_subject(common_name, role), authority.subject, key.public_key(), days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_key_usage(authority=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    names = [_host_name(host) for host in hosts] or [x509.DNSName(file_name)]
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    certificate = builder.add_extension(issuer, critical=False).sign(authority_key, hashes.SHA256())
    (directory / folder).mkdir(exist_ok=True)
    return _write(directory / folder / file_name, certificate, key, directory, common_name)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    start = _now() - datetime.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(start, start + datetime.timedelta(days=days)))
        .not_valid_after(max(_now() + datetime.timedelta(days=days), start + datetime.timedelta(seconds=1)))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(common_name: str, role: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role),
        ]
    )


def _host_name(host: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host))
    return x509.DNSName(host)


def _authority(directory: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate = _read_certificate(directory / "ca.crt")
    try:
        key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), password=None)
    except (OSError, ValueError) as exc:
        raise PkiError(f"{directory / 'ca.key'} cannot be read: {exc}") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PkiError(f"{directory / 'ca.key'} is not an elliptic-curve key of ours")
    return certificate, key


def _read_certificate(file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError) as exc:
        raise PkiError(f"{file} cannot be read as a certificate: {exc}; `pole-center pki init` makes a CA") from exc


def _write(
    stem: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, directory: Path, name: str = ""
) -> Issued:
    """Write `<stem>.key` first (it must not exist), then `<stem>.crt`."""
    key_file, cert_file = stem.with_name(stem.name + ".key"), stem.with_name(stem.name + ".crt")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_new_secret(key_file, pem)
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Issued(name or stem.name, cert_file, key_file, directory / "ca.crt")


def write_new_secret(file: Path, data: bytes) -> None:
    """Write `data` to a file that must not exist yet, mode 0600 from the first byte, on disk when it returns.

    Raises:
        PkiError: it exists already or cannot be written.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as exc:
        raise PkiError(f"{file} exists already; move it away first, keys are never overwritten") from exc
    except OSError as exc:
        raise PkiError(f"{file} cannot be written: {exc}") from exc
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def _read_crl(directory: Path) -> x509.CertificateRevocationList:
    try:
        return x509.load_pem_x509_crl((directory / "ca.crl").read_bytes())
    except (OSError, ValueError) as exc:
        raise PkiError(f"{directory / 'ca.crl'} cannot be read: {exc}; refusing to lose revocations") from exc


def _write_crl(
    directory: Path,
    certificate: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    revoked: Sequence[x509.RevokedCertificate],
) -> None:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(certificate.subject)
        .last_update(_now() - datetime.timedelta(days=1))
        .next_update(_now() + datetime.timedelta(days=CRL_DAYS))
    )
    for entry in revoked:
        builder = builder.add_revoked_certificate(entry)
    crl = builder.sign(key, hashes.SHA256())
    temporary = directory / ".ca.crl.new"
    temporary.write_bytes(crl.public_bytes(serialization.Encoding.PEM))
    temporary.rename(directory / "ca.crl")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
