"""How long the pole's certificate is still good, read from its file each time so that a renewal shows at once."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

WARN_DAYS = 14
SECOND_US = 1_000_000


def certificate_days_left(cert_file: Path, now_us: int) -> int | None:
    """Return the whole days until the certificate ends (negative: it has ended), or None when it is unreadable."""
    try:
        certificate = x509.load_pem_x509_certificate(cert_file.read_bytes())
    except (OSError, ValueError):
        return None
    left = certificate.not_valid_after_utc - datetime.fromtimestamp(now_us / SECOND_US, tz=UTC)
    return left.days


def certificate_fault(days_left: int | None) -> tuple[str, str] | None:
    """Return (fault code, detail) for what the certificate's age asks for, or None."""
    if days_left is None:
        return "link-refused", "the pole's certificate file is missing or unreadable, install it again"
    if days_left < 0:
        return "certificate-expired", f"the pole's certificate ended {-days_left} day(s) ago, have it renewed"
    if days_left < WARN_DAYS:
        return "certificate-expiring", f"the pole's certificate ends in {days_left} day(s), have it renewed"
    return None
