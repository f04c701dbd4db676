"""The units: what each service may reach is fenced by systemd, and the fence is checked (N15, R-AUDIO, R-CRYPT)."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
SERVICES = ["pole-camera@.service", "pole-upload.service", "pole-bell.service", "pole-health.service"]
THRESHOLD = 15  # systemd-analyze counts in tenths: 1.5

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")


def settings(name: str) -> dict[str, list[str]]:
    """Return every setting of a unit with all its values, in order."""
    found: dict[str, list[str]] = {}
    for line in (SYSTEMD / name).read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


@pytest.fixture
def copied(tmp_path) -> Path:
    """The units in a folder of their own, with a program that exists here in place of the installed one."""
    for path in SYSTEMD.glob("*.*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8").replace("/opt/pole-agent/bin/pole-agent", "/bin/true")
            (tmp_path / path.name.replace("@.", "@front.")).write_text(text, encoding="utf-8")
    return tmp_path


@needs_systemd
def test_systemd_understands_every_unit_without_a_complaint(copied):
    units = sorted(str(path) for path in copied.iterdir())
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_the_exposure_of_a_service_is_at_most_1_5(copied, name, record_property):
    unit = copied / name.replace("@.", "@front.")
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={THRESHOLD}", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True)
    record_property("exposure", re.search(r"exposure level for .*?: ([\d.]+)", done.stdout)[1])
    assert done.returncode == 0, done.stdout[-300:]


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_reaches_a_sound_device(name):
    unit = settings(name)
    assert unit["DevicePolicy"] == ["closed"]
    assert not any("snd" in device or "sound" in device or "alsa" in device for device in unit.get("DeviceAllow", []))
    assert "audio" not in " ".join(unit["SupplementaryGroups"]).split()


def test_the_process_that_sees_clear_video_has_no_way_out():
    unit = settings("pole-camera@.service")
    assert unit["PrivateNetwork"] == ["yes"]
    assert unit["IPAddressDeny"] == ["any"]
    assert "IPAddressAllow" not in unit
    assert unit["RestrictAddressFamilies"] == ["AF_UNIX"]


def test_the_processes_with_a_way_out_have_no_camera_and_reach_nothing_until_told():
    for name in ("pole-upload.service", "pole-bell.service"):
        unit = settings(name)
        assert unit["IPAddressDeny"] == ["any"]
        assert "IPAddressAllow" not in unit
        assert not any("video" in device for device in unit.get("DeviceAllow", []))
        assert "video" not in " ".join(unit["SupplementaryGroups"]).split()


def test_the_health_service_uses_no_network():
    assert settings("pole-health.service")["PrivateNetwork"] == ["yes"]


def test_the_bell_cannot_see_the_spool_and_is_the_last_to_go():
    bell = settings("pole-bell.service")
    assert "pole-spool" not in " ".join(bell["SupplementaryGroups"]).split()
    assert "-/var/lib/pole-agent/spool" in bell["InaccessiblePaths"][0].split()
    others = [settings(name) for name in SERVICES if name != "pole-bell.service"]
    assert all(int(bell["OOMScoreAdjust"][0]) < int(unit.get("OOMScoreAdjust", ["0"])[0]) for unit in others)
    assert all(int(bell["CPUWeight"][0]) > int(unit["CPUWeight"][0]) for unit in others)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_watched_and_started_again_for_ever(name):
    unit = settings(name)
    assert unit["Type"] == ["notify"]
    assert 0 < int(unit["WatchdogSec"][0]) <= 30
    assert unit["Restart"] == ["always"]
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert unit["RestartPreventExitStatus"] == ["78"]
    assert int(unit["TimeoutStopSec"][0]) >= 5, "the supervisor leaves within 5 s by itself"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_privilege_and_reads_its_key_as_a_credential(name):
    unit = settings(name)
    assert unit["CapabilityBoundingSet"] == [""]
    assert unit["NoNewPrivileges"] == ["yes"]
    assert unit["User"] != ["root"]
    for credential in unit.get("LoadCredential", []):
        assert ":" not in credential, "a path would make a missing key keep the service from starting"


@pytest.mark.parametrize("name", SERVICES)
def test_the_users_and_groups_of_a_service_are_made(name):
    made = [line.split() for line in (SYSTEMD / "sysusers.d/pole-agent.conf").read_text().splitlines()]
    users = {words[1] for words in made if words and words[0] == "u"}
    groups = {words[1] for words in made if words and words[0] in ("g", "u")}
    unit = settings(name)
    assert unit["User"][0] in users
    assert set(unit["SupplementaryGroups"][0].split()) <= groups


@pytest.mark.parametrize("name", SERVICES)
def test_the_folders_a_service_writes_are_made(name):
    lines = (SYSTEMD / "tmpfiles.d/pole-agent.conf").read_text().splitlines()
    made = {line.split()[1] for line in lines if line.startswith("d ")}
    assert set(settings(name)["ReadWritePaths"][0].split()) <= made


def test_the_sandboxes_differ_only_where_they_say_so():
    fence = []
    for name in SERVICES:
        text = (SYSTEMD / name).read_text(encoding="utf-8")
        fence.append(text.split("# Nothing of the machine")[1].split("# What this service may have")[0])
    assert len(set(fence)) == 1


@pytest.mark.parametrize("path", sorted(SYSTEMD.glob("examples/*.conf")), ids=lambda path: path.name)
def test_an_example_allows_one_documentation_address(path):
    drop_in = configparser.ConfigParser(strict=False)
    drop_in.read(path, encoding="utf-8")
    assert drop_in["Service"]["IPAddressAllow"].startswith("192.0.2.")


@needs_systemd
def test_systemd_understands_the_camera_with_its_rtsp_drop_in(copied):
    folder = copied / "pole-camera@front.service.d"
    folder.mkdir()
    shutil.copy(SYSTEMD / "examples/pole-camera-rtsp.conf", folder)
    command = ["systemd-analyze", "verify", str(copied / "pole-camera@front.service")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
