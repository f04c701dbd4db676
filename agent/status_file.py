"""`/run/pole-agent/<service>.json`: how the four processes tell each other how they are.

Each file is rewritten atomically (temporary name, rename) by its one writer, about once a second. It is in
memory (tmpfs), so it is not fsynced. It is readable by its group whatever the umask, so that a service may keep
everything else to itself. A reader judges its age by `written_mono_s`, which all processes of one
boot share; a file that is too old means that its process is dead or hung, whatever the file says.
"""

import contextlib
import os
from pathlib import Path

import msgspec

from agent.contract.messages import BellReading, CameraReading, Fault, Heartbeat, SpoolReading, UploadReading

READABLE_BY_GROUP = 0o640


class OpenIncident(msgspec.Struct, frozen=True, kw_only=True):
    """A press whose footage goes first: from `pressed_at_us` minus and plus the configured window."""

    incident_id: str
    pressed_at_us: int


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What one service says of itself; the part that does not concern it stays None."""

    service: str
    pid: int
    written_at_us: int
    written_mono_s: float
    faults: list[Fault] = []
    camera: CameraReading | None = None
    spool: SpoolReading | None = None
    upload: UploadReading | None = None
    bell: BellReading | None = None
    incidents: list[OpenIncident] = []
    heartbeat: Heartbeat | None = None


def write_status(run_dir: Path, status: ServiceStatus) -> None:
    """Replace the status file of `status.service` in `run_dir` atomically.

    Raises:
        OSError: the directory is missing or not writable.
    """
    target = run_dir / f"{status.service}.json"
    temporary = run_dir / f".{status.service}.json.{os.getpid()}"
    temporary.write_bytes(msgspec.json.encode(status))
    temporary.chmod(READABLE_BY_GROUP)
    temporary.rename(target)


def read_status(run_dir: Path, service: str) -> ServiceStatus | None:
    """Return the status of `service`, or None when it is absent or unreadable."""
    try:
        return msgspec.json.decode((run_dir / f"{service}.json").read_bytes(), type=ServiceStatus)
    except (OSError, msgspec.DecodeError):
        return None


def read_all_status(run_dir: Path) -> dict[str, ServiceStatus]:
    """Return every readable status in `run_dir`, by service name."""
    found: dict[str, ServiceStatus] = {}
    with contextlib.suppress(OSError):
        for path in sorted(run_dir.glob("[!.]*.json")):
            status = read_status(run_dir, path.stem)
            if status is not None:
                found[status.service] = status
    return found
