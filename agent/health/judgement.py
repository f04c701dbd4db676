"""From readings to faults: pure rules with hysteresis (R-MAINT, R-QUALITY).

Rules:
* a verdict is about one (code, subject): the fault stands, ends, or stays as it is (between both limits, or when
  the part did not report);
* the limit that raises a fault and the limit that clears it differ, so that a value at the limit does not flutter;
* a service whose status is absent or older than `SILENT_S` is a fault whatever its last words were, and none of
  its other values are judged;
* nothing here reads a file, a clock or the network.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.contract.messages import (
    BellReading,
    CameraReading,
    ClockState,
    CpuReading,
    DiskReading,
    MemoryReading,
    SpoolReading,
    UploadReading,
)
from agent.health.probes.throttling import throttled_now

SILENT_S = 5.0
CLOCK_GRACE_S = 120.0
LEGAL_WIDTH, LEGAL_HEIGHT = 320, 240


@dataclass(frozen=True)
class Limits:
    """Where a fault is raised and where it is cleared; `raise_at` above `clear_at` means that high is bad."""

    raise_at: float
    clear_at: float

    def crossed(self, value: float) -> bool | None:
        """Return True at or past `raise_at`, False at or past `clear_at`, None between."""
        sign = 1 if self.raise_at > self.clear_at else -1
        if sign * value >= sign * self.raise_at:
            return True
        return False if sign * value <= sign * self.clear_at else None


MEMORY_AVAILABLE_SHARE = Limits(raise_at=0.08, clear_at=0.12)
TEMPERATURE_MC = Limits(raise_at=80_000, clear_at=75_000)
CLOCK_ERROR_US = Limits(raise_at=1_000_000, clear_at=500_000)
CAMERA_FPS = Limits(raise_at=14.5, clear_at=14.9)  # the legal 15 fps less the jitter of one measured second
FRAME_AGE_S = Limits(raise_at=10.0, clear_at=3.0)
BELL_POLL_AGE_S = Limits(raise_at=2.0, clear_at=1.0)
LINK_AGE_S = Limits(raise_at=120.0, clear_at=30.0)
CERTIFICATE_DAYS = Limits(raise_at=21, clear_at=22)


@dataclass(frozen=True)
class Verdict:
    """One judged fault: `stands` True raises or keeps it, False ends it, None leaves it as it is."""

    code: str
    stands: bool | None
    detail: str = ""
    subject: str = ""


def judge_silence(silent_s: Mapping[str, float]) -> Iterator[Verdict]:
    """Judge each expected service by the seconds since its last word."""
    for service, seconds in silent_s.items():
        silent = seconds > SILENT_S or seconds < -SILENT_S
        yield Verdict("service-silent", silent, f"silent for {abs(seconds):.0f} s", service)


def judge_disk(disk: DiskReading | None, min_free_bytes: int) -> Iterator[Verdict]:
    """Judge room and the write test; the spool itself keeps `min_free_bytes` free, so half of it is alarming."""
    if disk is None:
        return
    low = Limits(raise_at=min_free_bytes * 0.5, clear_at=min_free_bytes * 0.75).crossed(disk.free_bytes)
    yield Verdict("disk-low", low if min_free_bytes else False, f"{disk.free_bytes >> 20} MiB free")
    yield Verdict("spool-unwritable", not disk.writable, "a test block written to the spool's disk did not come back")


def judge_memory(memory: MemoryReading | None) -> Iterator[Verdict]:
    """Judge the share of main memory that is still available."""
    if memory is not None and memory.total_bytes > 0:
        share = memory.available_bytes / memory.total_bytes
        yield Verdict("memory-low", MEMORY_AVAILABLE_SHARE.crossed(share), f"{share:.0%} available")


def judge_cpu(cpu: CpuReading | None) -> Iterator[Verdict]:
    """Judge heat and power; what the board cannot measure is not judged."""
    if cpu is None:
        return
    if cpu.temperature_mc is not None:
        hot = TEMPERATURE_MC.crossed(cpu.temperature_mc)
        yield Verdict("temperature-high", hot, f"{cpu.temperature_mc / 1000:.0f} degrees Celsius")
    yield Verdict("throttled", throttled_now(cpu.throttled), f"throttle bits {cpu.throttled}")
    yield Verdict("under-voltage", cpu.under_voltage, "the supply voltage is too low now")


def judge_clock(clock: ClockState, unsynced_s: float) -> Verdict:
    """Judge the clock; after a boot it has `CLOCK_GRACE_S` to find its time server."""
    if not clock.synced:
        return Verdict("clock-unsynced", True if unsynced_s >= CLOCK_GRACE_S else None, "no time source")
    return Verdict("clock-unsynced", CLOCK_ERROR_US.crossed(clock.error_us), f"error {clock.error_us / 1e6:.1f} s")


def judge_camera(camera_id: str, camera: CameraReading) -> Iterator[Verdict]:
    """Judge one camera by numbers that must move (DESIGN decision 12) and by the legal floor (R-QUALITY)."""
    yield Verdict("source-has-sound", camera.source_has_sound, "the source carries sound", camera_id)
    if camera.state in ("starting", "recording") and camera.last_frame_age_s is not None:
        age = camera.last_frame_age_s
        yield Verdict("camera-source-lost", FRAME_AGE_S.crossed(age), f"no frame for {age:.0f} s", camera_id)
    if camera.state == "recording" and camera.width and camera.fps > 0:
        small = camera.width < LEGAL_WIDTH or camera.height < LEGAL_HEIGHT
        below = True if small else CAMERA_FPS.crossed(camera.fps)
        detail = f"{camera.width}x{camera.height} at {camera.fps:.1f} fps"
        yield Verdict("quality-below-legal", below, detail, camera_id)


def judge_upload(upload: UploadReading, spool: SpoolReading | None) -> Iterator[Verdict]:
    """Judge the link (only while something waits to be sent) and the pole's certificate."""
    age = upload.last_answer_age_s
    if age is not None:
        waiting = spool is not None and spool.pending_segments > 0
        yield Verdict("link-down", LINK_AGE_S.crossed(age) if waiting else None, f"no answer for {age:.0f} s")
    days = upload.certificate_days_left
    if days is not None:
        yield Verdict("certificate-expired", days < 0, "the pole's certificate is no longer valid")
        expiring = CERTIFICATE_DAYS.crossed(days) if days >= 0 else False
        yield Verdict("certificate-expiring", expiring, f"{days} days left")


def judge_bell(bell: BellReading) -> Verdict:
    """Judge whether the bell's level is still being read."""
    age = bell.line_poll_age_s
    return Verdict("hardware-unusable", BELL_POLL_AGE_S.crossed(age), f"level not read for {age:.1f} s", "bell")
