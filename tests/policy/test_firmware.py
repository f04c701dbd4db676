"""R-AUDIO on the Raspberry Pi: after our fragments, the last word on sound is off.

`Firmware` reads config.txt as the firmware documents it: top to bottom, a filter such as [pi4] holds until the next
one, [all] ends it, and the last word on a name wins. Whether the firmware obeys, only a real Pi shows.
"""

import re
from pathlib import Path

import pytest

FRAGMENTS = Path(__file__).parents[2] / "firmware-config" / "raspberry-pi"
# The file Raspberry Pi OS (bookworm) ships, without its comments.
SHIPPED = """
dtparam=audio=on
camera_auto_detect=1
display_auto_detect=1
auto_initramfs=1
dtoverlay=vc4-kms-v3d
max_framebuffers=2
disable_fw_kms_setup=1
arm_64bit=1
disable_overscan=1
arm_boost=1
[cm4]
otg_mode=1
[cm5]
dtoverlay=dwc2,dr_mode=host
[all]
"""


class Firmware:
    """What stands at the end of config.txt for one board model."""

    def __init__(self, text: str, model: str) -> None:
        self.values: dict[str, str] = {}
        self.parameters: dict[str, str] = {}
        self.overlays: dict[str, list[str]] = {}
        filters: set[str] = {"all"}
        for line in (raw.split("#")[0].strip() for raw in text.splitlines()):
            if line.startswith("["):
                filters = {line.strip("[]")}
            elif "=" in line and filters & {"all", model}:
                self._apply(*line.split("=", 1))

    def _apply(self, name: str, value: str) -> None:
        if name == "dtparam":
            parameter, _, setting = value.partition("=")
            self.parameters[parameter] = setting or "on"
        elif name == "dtoverlay":
            overlay, *options = value.split(",")
            self.overlays[overlay] = options
        else:
            self.values[name] = value


def applied(model: str, before: str = SHIPPED) -> Firmware:
    fragment = (FRAGMENTS / "config.txt.fragment").read_text(encoding="utf-8")
    return Firmware(before + fragment, model)


MODELS = ["pi4", "pi5", "cm4", "cm5"]


def test_the_evaluator_sees_that_the_shipped_file_has_sound_on():
    shipped = Firmware(SHIPPED, "pi4")
    assert shipped.parameters["audio"] == "on"
    assert "noaudio" not in shipped.overlays["vc4-kms-v3d"]


def test_the_evaluator_obeys_filters_and_the_last_word():
    assert Firmware("a=1\n[pi5]\na=2\n[all]\n", "pi4").values == {"a": "1"}
    assert Firmware("a=1\n[pi5]\na=2\n[all]\n", "pi5").values == {"a": "2"}


@pytest.mark.parametrize("model", MODELS)
def test_the_last_word_on_sound_is_off(model):
    assert applied(model).parameters["audio"] == "off"


@pytest.mark.parametrize("model", MODELS)
def test_a_filter_left_open_before_us_does_not_swallow_the_fragment(model):
    assert applied(model, SHIPPED + "[pi3]\ndtparam=audio=on\n").parameters["audio"] == "off"


@pytest.mark.parametrize("model", MODELS)
def test_hdmi_carries_no_sound(model):
    assert "noaudio" in applied(model).overlays["vc4-kms-v3d"]


@pytest.mark.parametrize("model", MODELS)
def test_the_watchdog_is_on_and_the_camera_is_not_guessed(model):
    firmware = applied(model)
    assert firmware.parameters["watchdog"] == "on"
    assert firmware.values["camera_auto_detect"] == "0"


def test_sound_drivers_cannot_be_loaded_by_name_either():
    text = (FRAGMENTS / "modprobe.d" / "pole-agent-no-sound.conf").read_text(encoding="utf-8")
    refused = set(re.findall(r"^install (\S+) /bin/false$", text, re.M))
    assert {"snd", "snd_pcm", "snd_bcm2835", "snd_usb_audio", "snd_soc_core", "soundcore"} <= refused
    blacklisted = set(re.findall(r"^blacklist (\S+)$", text, re.M))
    assert blacklisted <= refused, "blacklist alone stops only the automatic loading"


def test_no_module_of_sound_is_asked_for():
    for path in FRAGMENTS.glob("modules-load.d/*.conf"):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        assert not [line for line in lines if "snd" in line or "sound" in line]


def test_the_kernel_command_line_is_one_line_and_refuses_sound():
    text = (FRAGMENTS / "cmdline.txt.fragment").read_text(encoding="utf-8")
    assert text.count("\n") == 1
    assert "module_blacklist=snd_bcm2835" in text


def test_every_file_is_named_in_the_readme():
    readme = (FRAGMENTS / "README.md").read_text(encoding="utf-8")
    for path in FRAGMENTS.iterdir():
        if path.name != "README.md":
            assert f"`{path.name}{'/' if path.is_dir() else ''}`" in readme
