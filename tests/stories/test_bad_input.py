"""What goes wrong in the field, on a whole site: one clear sentence, a fault at the center and on the console,
and recovery when it is mended, without anybody restarting anything."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_site import BIN, POLE
from support.rtsp_server import RtspServer, free_port
from support.rtsp_server import available as rtsp_available
from support.video import make_clip
from support.whole_site import WholeSite

from agent.contract.age_format import generate_identity

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "street.mp4"
    make_clip(path, seconds=6, fps=15, size="640x480")
    return path


@pytest.fixture(scope="module")
def whole(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSite]:
    """One site for all stories; each story leaves it mended."""
    root = tmp_path_factory.mktemp("site")
    footage = root / "front.mp4"
    shutil.copy(clip, footage)
    site = WholeSite(root, [str(footage), str(clip)], [])
    site.edit(f"min_free_bytes = {64 << 20}", "min_free_bytes = 0")
    site.site.spool.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", site.site.spool]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        with site:
            site.wait_receipts(2)
            yield site
        assert "Traceback" not in "".join(path.read_text() for path in (root / "logs").iterdir())
    finally:
        if mounted:
            subprocess.run(["umount", "-l", site.site.spool], check=True)


def footage_of(whole: WholeSite) -> Path:
    return whole.site.root / "front.mp4"


def assert_shown(whole: WholeSite, code: str) -> None:
    """The console's pole page names the fault and what to do."""
    page = whole.page(f"/poles/{POLE}")
    assert code in page


def test_a_broken_configuration_lists_every_mistake_and_exits_78(whole: WholeSite, tmp_path: Path) -> None:
    text = whole.site.pole_config.read_text()
    broken = tmp_path / "pole.toml"
    text = text.replace("retention_days = 30", "retention_days = 90").replace('purpose = "crime-prevention"', "", 1)
    broken.write_text(text.replace("fps = 15", "fps = 5", 1).replace("heartbeat_s", "heartbeet_s") + '\naudio = "on"\n')
    done = subprocess.run(
        [sys.executable, "-m", "agent", "check-config", "--config", broken], capture_output=True, text=True, check=False
    )
    assert done.returncode == 78
    assert "Traceback" not in done.stderr
    for key in ("pole.retention_days", "camera[0].purpose", "camera[0].fps", "did you mean 'heartbeat_s'", "audio"):
        assert key in done.stderr
    service = subprocess.run(
        [BIN / "pole-agent", "upload", "--config", broken], capture_output=True, text=True, check=False
    )
    assert service.returncode == 78


def test_a_missing_video_is_a_fault_until_it_is_there(whole: WholeSite) -> None:
    footage = footage_of(whole)
    away = footage.with_suffix(".away")
    footage.rename(away)
    whole.demo.processes.kill("camera-front")
    fault = whole.wait_fault("camera-source-lost", "front")
    assert "front.mp4" in fault.detail
    assert_shown(whole, "camera-source-lost")
    away.rename(footage)
    whole.wait_mended("camera-source-lost", "front")
    whole.wait_receipts(3)


def test_a_corrupt_video_is_a_fault_until_it_is_replaced(whole: WholeSite, clip: Path) -> None:
    footage = footage_of(whole)
    footage.write_bytes(b"this is no video" * 4096)
    whole.demo.processes.kill("camera-front")
    assert "front.mp4" in whole.wait_fault("camera-source-lost", "front").detail
    assert_shown(whole, "camera-source-lost")
    shutil.copy(clip, footage.with_suffix(".new"))
    footage.with_suffix(".new").rename(footage)
    whole.wait_mended("camera-source-lost", "front")


def test_a_dead_rtsp_address_is_a_fault_until_the_camera_answers(whole: WholeSite) -> None:
    if not rtsp_available():
        pytest.skip("GStreamer's RTSP server is not installed")
    port = free_port()
    old = f'source = "replay"\naddress = "{footage_of(whole)}"'
    new = f'source = "rtsp"\naddress = "rtsp://127.0.0.1:{port}/video"'
    whole.change(old, new, "camera-front")
    try:
        assert f"127.0.0.1:{port}" in whole.wait_fault("camera-source-lost", "front").detail
        assert_shown(whole, "camera-source-lost")
        with RtspServer(port=port):
            whole.wait_mended("camera-source-lost", "front", 60)
    finally:
        whole.change(new, old, "camera-front")
    whole.wait_mended("camera-source-lost", "front")


def test_a_recipient_that_the_center_does_not_hold_is_refused_and_nothing_is_lost(whole: WholeSite) -> None:
    recipients = whole.site.center / "recipients.txt"
    good = recipients.read_text()
    secret, foreign = generate_identity()
    recipients.write_text(foreign + "\n")
    whole.wait_fault("recipient-unknown", "front")
    assert_shown(whole, "recipient-unknown")
    waiting = sorted(path.name for path in whole.site.spool.rglob("*.mp4.age"))
    assert waiting, "the refused segments stay at the pole"
    recipients.write_text(good)
    whole.wait_receipts(2)
    assert set(waiting) <= {path.name for path in whole.site.spool.rglob("*.mp4.age")}
    subprocess.run(
        [BIN / "pole-center", "keys", "import", "--config", whole.site.center_config, "--zone", "imported"],
        input=secret,
        text=True,
        check=True,
        capture_output=True,
    )
    whole.wait_mended("recipient-unknown", "front", 90)
    whole.wait(lambda: not {p.name for p in whole.site.spool.rglob("*.mp4.age")} & set(waiting), "the backlog", 60)


def test_missing_recipients_stop_the_recording_and_not_the_pole(whole: WholeSite) -> None:
    recipients = whole.site.center / "recipients.txt"
    good = recipients.read_text()
    recipients.write_text("# nothing here\n")
    whole.wait_fault("recipient-missing")
    assert_shown(whole, "recipient-missing")
    recipients.write_text(good)
    whole.wait_mended("recipient-missing")
    whole.wait_receipts(2)


def test_a_certificate_of_another_authority_silences_the_pole_until_the_right_one_is_back(
    whole: WholeSite, tmp_path: Path
) -> None:
    pki = whole.site.center / "pki" / "poles"
    for suffix in ("crt", "key"):
        shutil.copy(pki / f"{POLE}.{suffix}", tmp_path / f"good.{suffix}")
    for words in (["init", tmp_path / "foreign"], ["pole", "--pki", tmp_path / "foreign", POLE]):
        subprocess.run([BIN / "pole-center", "pki", *words], check=True, capture_output=True)
    for suffix in ("crt", "key"):
        shutil.copy(tmp_path / "foreign" / "poles" / f"{POLE}.{suffix}", pki / f"{POLE}.{suffix}")
    for service in ("upload", "bell"):
        whole.demo.processes.kill(service)
    for service in ("upload", "bell"):
        found = whole.wait(
            lambda service=service: whole.local_fault(service, "link-refused"),  # type: ignore[misc]
            f"{service} to say that it is refused",
            40,
        )
        assert "certificate" in found.detail
    whole.wait(lambda: "pole-silent" in whole.page(f"/poles/{POLE}"), "the console to call the pole silent", 60)
    for suffix in ("crt", "key"):
        shutil.copy(tmp_path / f"good.{suffix}", pki / f"{POLE}.{suffix}")
    whole.wait(lambda: whole.local_fault("upload", "link-refused") is None, "the upload to be let in again", 90)
    whole.wait_receipts(2, 60)
    whole.wait(lambda: "pole-silent" not in whole.page(f"/poles/{POLE}"), "the pole to be heard again", 60)


def test_a_full_disk_is_a_fault_and_recording_goes_on_when_there_is_room(whole: WholeSite) -> None:
    spool = whole.site.spool
    if not spool.is_mount():
        pytest.skip("a small file system cannot be mounted here")
    ballast = spool / "ballast"
    with ballast.open("wb") as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"\0" * (1 << 16))
            file.flush()
    whole.wait_fault("spool-full")
    assert_shown(whole, "spool-full")
    ballast.unlink()
    whole.wait_mended("spool-full", timeout_s=60)
    whole.wait_receipts(2)


def test_an_unwritable_spool_is_a_fault_and_recording_goes_on_when_it_is_writable_again(whole: WholeSite) -> None:
    spool = whole.site.spool
    if not spool.is_mount():
        pytest.skip("a small file system cannot be mounted here")
    users = ["camera-front", "camera-gate", "upload", "health"]
    whole.demo.processes.stop(users)
    subprocess.run(["mount", "-o", "remount,ro", spool], check=True)
    try:
        for name in users:
            whole.demo.processes.resume(name)
        whole.wait_fault("spool-unwritable")
        assert_shown(whole, "spool-unwritable")
    finally:
        subprocess.run(["mount", "-o", "remount,rw", spool], check=True)
    whole.wait_mended("spool-unwritable", timeout_s=60)
    whole.wait_receipts(2)
