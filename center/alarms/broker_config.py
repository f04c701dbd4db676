"""The mosquitto configuration under which the promises of docs/design/center.md hold. Each line's reason: FACTS.

Rules:
* no anonymous client, no password: a client certificate of our CA or nothing (`require_certificate`, TLS 1.3);
* the certificate's CN is the user name and the client id: no pole can write as, read as or kick off another;
* a pole writes `ps/v1/<itself>/up/#` and reads `ps/v1/<itself>/down/#` and `ps/v1/center/#`, nothing else;
* `center-alarms` and `center-telemetry` read every up/# and write every down/# and center/#;
* the listener is bound to the address given; nothing listens elsewhere;
* Debian's unit stops at about 1,014 poles: `mosquitto-limits.conf` is the drop-in that lifts it.
"""

import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path

from center.errors import ConfigError

MAX_QUEUED_MESSAGES = 20_000
MAX_PACKET_BYTES = 65_536
MAX_INFLIGHT = 1_000
CENTER_IDENTITIES = ("center-alarms", "center-telemetry")

ACCESS_LIST = """\
# written by `pole-center broker-config`; %u is the CN of the client's certificate
pattern write ps/v1/%u/up/#
pattern read ps/v1/%u/down/#
pattern read ps/v1/center/#
""" + "".join(
    f"""
user {name}
topic read ps/v1/+/up/#
topic write ps/v1/+/down/#
topic write ps/v1/center/#
"""
    for name in CENTER_IDENTITIES
)

LIMITS = """\
# /etc/systemd/system/mosquitto.service.d/limits.conf: one open file per pole, and room
[Service]
LimitNOFILE=65536
"""


@dataclass(frozen=True)
class BrokerFiles:
    """What the broker needs: its address and its certificate. `user` is the account it runs as once started as root."""

    host: str
    port: int
    ca_file: Path
    cert_file: Path
    key_file: Path
    crl_file: Path
    user: str | None = None


def write_broker_config(directory: Path, files: BrokerFiles) -> Path:
    """Write `mosquitto.conf`, `acl`, `mosquitto-limits.conf` and the folder `persistence`; return the first.

    Started as root, mosquitto becomes `files.user` before it reads any file, so the persistence folder and the
    key are given to that account; without one it stays whoever runs this command.

    Raises:
        ConfigError: a path or name cannot stand in mosquitto.conf, or there is no such account.
    """
    user = files.user or pwd.getpwuid(os.geteuid()).pw_name
    persistence = directory / "persistence"
    text = broker_text(directory, files, user)
    persistence.mkdir(parents=True, exist_ok=True)
    persistence.chmod(0o700)
    (directory / "acl").write_text(ACCESS_LIST)
    (directory / "acl").chmod(0o600)
    (directory / "mosquitto-limits.conf").write_text(LIMITS)
    config = directory / "mosquitto.conf"
    config.write_text(text)
    if files.user is not None and os.geteuid() == 0:
        _give(files.user, [persistence, directory / "acl", files.key_file])
    return config


def broker_text(directory: Path, files: BrokerFiles, user: str) -> str:
    """Return the text of `mosquitto.conf`.

    Raises:
        ConfigError: a value would break out of its line.
    """
    values = [str(directory), files.host, user, str(files.ca_file), str(files.cert_file)]
    broken = [value for value in [*values, str(files.key_file), str(files.crl_file)] if "\n" in value or "\r" in value]
    if broken:
        raise ConfigError([f"broker: {value!r} holds a line break; choose another path" for value in broken])
    return f"""\
# written by `pole-center broker-config`; the reasons are in docs/design/center.md
user {user}
per_listener_settings false
allow_anonymous false
acl_file {(directory / "acl").absolute()}
persistence true
persistence_location {(directory / "persistence").absolute()}/
autosave_interval 30
set_tcp_nodelay true
max_queued_messages {MAX_QUEUED_MESSAGES}
max_inflight_messages {MAX_INFLIGHT}
max_packet_size {MAX_PACKET_BYTES}
log_dest stderr
log_type error
log_type warning
log_type notice

listener {files.port} {files.host}
cafile {files.ca_file.absolute()}
certfile {files.cert_file.absolute()}
keyfile {files.key_file.absolute()}
crlfile {files.crl_file.absolute()}
tls_version tlsv1.3
require_certificate true
use_identity_as_username true
use_username_as_clientid true
"""


def _give(user: str, paths: list[Path]) -> None:
    for path in paths:
        try:
            shutil.chown(path, user)
        except (LookupError, OSError) as exc:
            raise ConfigError([f"broker: {path} cannot be given to the account {user!r}: {exc}"]) from exc
