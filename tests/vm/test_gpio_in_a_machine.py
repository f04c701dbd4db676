"""The bell on real character devices: the emulated machine of `make vm-gpio`, when it is built."""

import json
import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "run-gpio"
MISSING = 77


def run(*words):
    return subprocess.run([RUN, "--no-install", *words], capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.timeout(460)
def test_the_bell_rings_over_gpiod_lgpio_and_a_resistor_on_real_devices():
    done = run("--presses", "5", "--timeout", "400")
    if done.returncode == MISSING:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["suites"]["by_rig"]["test_contact_contract[GpiodRig]"] > 0
    assert (report["bell_gpiod"]["alarms"], report["bell_eol"]["alarms"]) == (5 + 1 + 1, 5 + 1)
    assert report["gpiod"]["edges"] == report["gpiod"]["made"]


def test_a_machine_that_cannot_run_it_says_what_is_missing_and_installs_nothing(tmp_path):
    """With no tools on the PATH: exit 77, one reason, nothing written."""
    words = ["/bin/bash", RUN.with_name("build-machine"), tmp_path / "vm", "--no-install"]
    paths = tmp_path / "bin"
    paths.mkdir()
    for tool in ("dirname", "uname", "cat", "sha256sum", "cut"):
        (paths / tool).symlink_to(f"/usr/bin/{tool}")
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={"PATH": str(paths)})
    assert (done.returncode, (tmp_path / "vm").exists()) == (MISSING, False)
    assert "make vm-gpio" in done.stderr


def test_an_unknown_option_shows_the_usage():
    done = run("--fast")
    assert done.returncode == 2 and "run-gpio [--no-install]" in done.stderr
