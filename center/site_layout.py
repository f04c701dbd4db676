"""Everything a new center needs, laid out in one folder by `pole-center init`.

    center.toml            the configuration; written last, so that its presence says that the rest is there
    pki/                   the certificate authority (docs/design/center.md says when it belongs on another machine)
    receipt.key, .vkey     signs receipts; the public half is pinned by every pole
    custodian/             private age identities and recipients.json
    recipients.txt         what the poles seal to
    broker/                mosquitto.conf and its access list
    state/                 the database and the sealed segments

Rule: nothing that exists is overwritten; a second run refuses.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.contract.signed_note import NoteSigner
from center import pki
from center.alarms.broker_config import BrokerFiles, write_broker_config
from center.config import CenterConfig, load_config
from center.custodian.keyring import Keyring
from center.errors import ConfigError

BROKER_IDENTITY = "center-broker"
IDENTITIES = ("center-ingest", "center-console", BROKER_IDENTITY, "center-alarms", "center-telemetry")


@dataclass(frozen=True)
class NewSite:
    """What a new center is told: where it listens, the names it is reached by, its first zone."""

    host: str = "127.0.0.1"
    names: Sequence[str] = ()
    ingest_port: int = 8443
    broker_port: int = 8883
    console_port: int = 8444
    zone: str = "demo"


def make_site(directory: Path, site: NewSite) -> CenterConfig:
    """Lay out a center in `directory` and return its configuration.

    Raises:
        ConfigError: there is a center already.
        PkiError, SealError: a key exists already or cannot be written.
    """
    config_file = directory / "center.toml"
    if config_file.exists():
        raise ConfigError([f"{config_file}: exists already; a center is never overwritten"])
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    pki.create_authority(directory / "pki")
    hosts = list(dict.fromkeys([*pki.LOCAL_HOSTS, *site.names]))
    for identity in IDENTITIES:
        pki.issue_center(directory / "pki", identity, hosts)
    signer = NoteSigner.generate("center")
    pki.write_new_secret(directory / "receipt.key", f"{signer.private_text}\n".encode())
    (directory / "receipt.vkey").write_text(f"{signer.verifier_key}\n")
    Keyring(directory / "custodian").create(site.zone, directory / "recipients.txt")
    (directory / "state").mkdir(mode=0o700, exist_ok=True)
    config_file.write_text(config_text(site))
    config = load_config(config_file)
    write_broker(config, directory / "broker", None)
    return config


def write_broker(config: CenterConfig, directory: Path, user: str | None) -> Path:
    """Write the broker's configuration for the address that `config` names; return `mosquitto.conf`.

    Raises:
        ConfigError: this machine has no `pki_dir`, or a path cannot stand in the file.
    """
    if config.pki_dir is None:
        raise ConfigError(["pki_dir: is missing; the broker's certificate and the revocation list are in it"])
    directory.mkdir(parents=True, exist_ok=True)
    stem = config.pki_dir / "center" / BROKER_IDENTITY
    files = BrokerFiles(
        host=config.broker.host,
        port=config.broker.port,
        ca_file=config.broker.ca_file,
        cert_file=stem.with_suffix(".crt"),
        key_file=stem.with_suffix(".key"),
        crl_file=config.pki_dir / "ca.crl",
        user=user,
    )
    return write_broker_config(directory, files)


def config_text(site: NewSite) -> str:
    """Return the text of `center.toml`."""
    host = json.dumps(site.host)
    return f"""\
# the control center; paths count from this file's folder (docs/guide/center.md)
state_dir = "state"
pki_dir = "pki"
silent_after_s = 20

[ingest]
host = {host}
port = {site.ingest_port}
cert_file = "pki/center/center-ingest.crt"
key_file = "pki/center/center-ingest.key"
ca_file = "pki/ca.crt"
crl_file = "pki/ca.crl"

[broker]
host = {host}
port = {site.broker_port}
ca_file = "pki/ca.crt"
alarms_cert_file = "pki/center/center-alarms.crt"
alarms_key_file = "pki/center/center-alarms.key"
telemetry_cert_file = "pki/center/center-telemetry.crt"
telemetry_key_file = "pki/center/center-telemetry.key"

[receipts]
key_file = "receipt.key"

[custodian]
key_dir = "custodian"
recipients_file = "recipients.txt"

[console]
host = {host}
port = {site.console_port}
cert_file = "pki/center/center-console.crt"
key_file = "pki/center/center-console.key"
ca_file = "pki/ca.crt"
"""
