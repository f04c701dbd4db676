"""The configuration names every mistake at once, and no legal value has a default."""

import stat
from pathlib import Path

import pytest

from agent.config_file import load_config
from agent.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "docs" / "guide" / "pole.toml.example"
NOWHERE: dict[str, str] = {}


def mistakes_of(tmp_path: Path, text: str, **arguments: bool) -> list[str]:
    path = tmp_path / "pole.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path, environ=NOWHERE, **arguments)
    return caught.value.mistakes


def example_with(found: str, instead: str) -> str:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert found in text, f"the example has no {found!r}"
    return text.replace(found, instead, 1)


def only_mistake(tmp_path: Path, found: str, instead: str) -> str:
    mistakes = mistakes_of(tmp_path, example_with(found, instead))
    assert len(mistakes) == 1, mistakes
    return mistakes[0]


def test_the_example_of_the_guide_loads():
    config = load_config(EXAMPLE, environ=NOWHERE)
    assert config.pole.id == "gangseo-0142"
    assert [camera.id for camera in config.cameras] == ["front", "back"]
    assert config.cameras[1].address == ""
    assert config.bell.nc_pin == 27
    assert config.spool.min_free_bytes == 1 << 30


def test_every_default_shown_in_the_example_is_the_real_default(tmp_path):
    shown = []
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        key = line.removeprefix("# ")
        shown.append(key if line.startswith("# ") and " = " in line and key.split(" = ")[0].isidentifier() else line)
    path = tmp_path / "pole.toml"
    path.write_text("\n".join(shown), encoding="utf-8")
    assert load_config(path, environ=NOWHERE) == load_config(EXAMPLE, environ=NOWHERE)


def test_all_mistakes_come_at_once_each_with_its_key(tmp_path):
    text = example_with("fps = 15", "fps = 10").replace('zone = "gangseo"', "").replace("8883", '"8883"')
    mistakes = mistakes_of(tmp_path, text)
    assert {mistake.split(":")[0] for mistake in mistakes} == {"camera[1].fps", "pole.zone", "center.broker_port"}


@pytest.mark.parametrize("key", ["management_number", "purpose", "retention_days", "policy", "zone", "id"])
def test_a_legal_value_has_no_default(tmp_path, key):
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(f"{key} = ")]
    assert any(f".{key}: is missing" in mistake for mistake in mistakes_of(tmp_path, "\n".join(kept)))


@pytest.mark.parametrize("days", [0, 31, "30", 29.5, True])
def test_retention_is_a_whole_number_of_1_to_30_days(tmp_path, days):
    shown = {True: "true", "30": '"30"'}.get(days, str(days))
    assert "1..30 by law" in only_mistake(tmp_path, "retention_days = 30", f"retention_days = {shown}")


def test_an_unknown_key_gets_a_suggestion(tmp_path):
    assert "did you mean 'segment_s'" in only_mistake(tmp_path, "# segment_s = 10.0", "segments_s = 10.0")


def test_an_unknown_table_gets_a_suggestion(tmp_path):
    assert "did you mean 'health'" in only_mistake(tmp_path, "[health]", "[heatlh]")


def test_a_wrong_choice_gets_a_suggestion(tmp_path):
    assert "did you mean 'picamera2'" in only_mistake(tmp_path, 'source = "picamera2"', 'source = "picamera"')


@pytest.mark.parametrize("key", ["audio", "record_audio", "audio_codec", "microphone", "sound-device"])
def test_a_key_about_sound_is_refused_with_the_law(tmp_path, key):
    assert "PIPA 25(5)" in only_mistake(tmp_path, "# segment_s = 10.0", f"{key} = true")


@pytest.mark.parametrize("name", ["Gangseo-1", "-pole", "pole-", "po le", "강서", "a" * 64, "a.b"])
def test_a_pole_id_fits_a_topic_a_file_name_and_a_certificate(tmp_path, name):
    assert only_mistake(tmp_path, '"gangseo-0142"', f'"{name}"').startswith("pole.id: found")


def test_camera_ids_are_unique(tmp_path):
    assert "camera[0]'s already" in only_mistake(tmp_path, 'id = "back"', 'id = "front"')


def test_a_password_in_an_address_is_refused_and_never_repeated(tmp_path):
    address = 'address = "rtsp://admin:geheim@192.0.2.10/stream1"'
    mistake = only_mistake(tmp_path, 'address_file = "/etc/credstore/back.address"', address)
    assert "address_file" in mistake
    assert "geheim" not in mistake


def test_a_password_in_the_ingest_address_is_not_repeated(tmp_path):
    mistake = only_mistake(tmp_path, "https://center", "https://me:geheim@center")
    assert "geheim" not in mistake


def test_ingest_without_encryption_is_refused(tmp_path):
    assert "https://" in only_mistake(tmp_path, "https://center", "http://center")


def test_a_receipt_key_with_a_slip_of_the_pen_is_refused_here_and_not_by_the_uploader(tmp_path):
    assert "does not fit its hash" in only_mistake(tmp_path, "center.gangseo.example+", "center.gangsea.example+")


def test_an_address_and_an_address_file_do_not_stand_together(tmp_path):
    mistake = only_mistake(tmp_path, "address_file =", 'address = "rtsp://192.0.2.1/a"\naddress_file =')
    assert "one of the two" in mistake


def test_a_single_contact_has_no_nc_pin(tmp_path):
    path = tmp_path / "pole.toml"
    path.write_text(example_with('# wiring = "no-nc"', 'wiring = "no"'), encoding="utf-8")
    assert load_config(path, environ=NOWHERE).bell.nc_pin is None


@pytest.mark.parametrize("pin", ["no_pin", "nc_pin"])
def test_the_shutdown_pin_is_never_the_bell(tmp_path, pin):
    default = {"no_pin": 17, "nc_pin": 27}[pin]
    assert "shuts a Raspberry Pi down" in only_mistake(tmp_path, f"# {pin} = {default}", f"{pin} = 3")


def test_what_is_not_fitted_takes_no_pin_and_what_is_needs_one_of_its_own(tmp_path):
    assert bell_of(tmp_path, "").key_switch_pin is None
    assert bell_of(tmp_path, "key_switch_pin = 22\ncall112_pin = 26").call112_pin == 26
    assert "is red_pin already" in only_mistake(tmp_path, "# red_pin = 6", "call112_pin = 6")


def test_two_lines_do_not_share_a_pin(tmp_path):
    assert "is no_pin already" in only_mistake(tmp_path, "# red_pin = 6", "red_pin = 17")


EOL = 'wiring = "eol"\nadc = "mcp3008"'


def bell_of(tmp_path, keys):
    path = tmp_path / "pole.toml"
    path.write_text(example_with('# wiring = "no-nc"', keys), encoding="utf-8")
    return load_config(path, environ=NOWHERE).bell


def bell_mistakes(tmp_path, keys):
    return mistakes_of(tmp_path, example_with('# wiring = "no-nc"', keys))


def test_an_end_of_line_resistor_names_its_converter(tmp_path):
    bell = bell_of(tmp_path, 'wiring = "eol"\nadc = "ads1115"\nadc_channel = 3\nadc_address = 0x49')
    assert (bell.adc, bell.adc_channel, bell.adc_address) == ("ads1115", 3, 0x49)
    assert bell_of(tmp_path, EOL).adc_address is None
    assert "'mcp3008' or 'ads1115'" in bell_mistakes(tmp_path, 'wiring = "eol"')[0]


@pytest.mark.parametrize(
    ("keys", "mistake"),
    [
        (f"{EOL}\nno_pin = 17", "bell.no_pin: wiring 'eol' has one input"),
        (f"{EOL}\nadc_address = 72", "bell.adc_address: found 72, allowed for 'mcp3008' is 0..1"),
        (f"{EOL}\nadc_channel = 8", "bell.adc_channel: found 8, allowed is a whole number 0..7"),
        (f'{EOL}\ndriver = "gpiod"', "bell.adc: 'mcp3008' needs driver 'gpiozero'"),
        (f"{EOL}\nwhite_pin = 8", "bell.white_pin: pin 8 is the MCP3008's already"),
        (f"{EOL}\nadc_address = 1\nwhite_pin = 7", "bell.white_pin: pin 7 is the MCP3008's already"),
        ('wiring = "eol"\nadc = "ads1115"\nadc_channel = 4', "allowed for 'ads1115' is 0..3"),
        ('wiring = "eol"\nadc = "ads1115"\nadc_address = 0', "allowed for 'ads1115' is 72..75 (0x48..0x4b"),
        ('wiring = "eol"\nadc = "ads1115"\nred_pin = 3', "bell.red_pin: pin 3 is the ADS1115's already"),
        ("adc_channel = 0", "bell.adc_channel: only for wiring 'eol'"),
        ("no_pin = 112", "bell.no_pin: found 112, allowed is a BCM number 0..27; or write driver = 'gpiod'"),
    ],
)
def test_a_line_that_cannot_be_wired_so_is_refused_with_its_key(tmp_path, keys, mistake):
    (found,) = bell_mistakes(tmp_path, keys)
    assert mistake in found


def test_gpiod_counts_lines_of_its_chip_and_knows_no_shutdown_pin(tmp_path):
    bell = bell_of(tmp_path, 'driver = "gpiod"\nchip = "/dev/gpiochip1"\nno_pin = 112\nnc_pin = 3')
    assert (bell.driver, bell.chip, bell.no_pin, bell.nc_pin) == ("gpiod", "/dev/gpiochip1", 112, 3)


def test_a_file_that_is_not_toml_is_one_mistake_with_its_line(tmp_path):
    assert "line 2" in mistakes_of(tmp_path, "[pole]\nid = gangseo\n")[0]


def test_a_missing_file_says_how_to_name_another(tmp_path):
    with pytest.raises(ConfigError, match="--config"):
        load_config(tmp_path / "absent.toml")


def with_files_in(directory: Path) -> str:
    text = EXAMPLE.read_text(encoding="utf-8")
    return text.replace("/etc/pole-agent/", f"{directory}/").replace("/etc/credstore/", f"{directory}/")


NAMED = ["ca.crt", "pole.crt", "pole.key", "recipients.txt", "back.address"]


def test_only_the_check_demands_that_named_files_are_there(tmp_path):
    path = tmp_path / "pole.toml"
    path.write_text(with_files_in(tmp_path), encoding="utf-8")
    assert load_config(path, environ=NOWHERE).sealing.recipients_file == tmp_path / "recipients.txt"
    mistakes = mistakes_of(tmp_path, with_files_in(tmp_path), check_files=True)
    assert len(mistakes) == len(NAMED)
    for name in NAMED:
        assert any(mistake.endswith(f"no file {tmp_path / name}") for mistake in mistakes)


@pytest.mark.parametrize(("name", "mode"), [("pole.key", 0o644), ("back.address", 0o640)])
def test_a_secret_that_others_can_read_is_a_mistake(tmp_path, name, mode):
    for each in NAMED:
        (tmp_path / each).touch(0o600)
    (tmp_path / name).chmod(mode)
    mistakes = mistakes_of(tmp_path, with_files_in(tmp_path), check_files=True)
    assert len(mistakes) == 1
    assert "chmod 0600" in mistakes[0]


def test_private_files_that_are_there_pass_the_check(tmp_path):
    for each in NAMED:
        (tmp_path / each).touch(0o600)
    path = tmp_path / "pole.toml"
    path.write_text(with_files_in(tmp_path), encoding="utf-8")
    assert load_config(path, check_files=True, environ=NOWHERE).center.key_file == tmp_path / "pole.key"


def test_a_credential_of_the_same_name_stands_in_for_the_file(tmp_path):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "pole.key").touch(stat.S_IRUSR | stat.S_IRGRP)
    config = load_config(EXAMPLE, environ={"CREDENTIALS_DIRECTORY": str(credentials)})
    assert config.center.key_file == credentials / "pole.key"
    assert config.cameras[1].address_file == Path("/etc/credstore/back.address")


@pytest.mark.parametrize(
    "address",
    [
        "https://[::1",
        "https://center:abc",
        "https://center:99999",
        "https://center/x?y",
        "https://center\\n",
        " https://c",
    ],
)
def test_an_address_that_no_client_takes_is_a_mistake_and_no_crash(tmp_path, address):
    mistake = only_mistake(tmp_path, "https://center.gangseo.example:8443", address)
    assert mistake.startswith("center.ingest_url: found ") and "allowed is" in mistake


@pytest.mark.parametrize("address", ["https://[::1]:8443", "https://10.0.0.5", "https://center.gangseo.example:8443/"])
def test_an_address_of_the_center_may_be_a_name_or_a_number(tmp_path, address):
    path = tmp_path / "pole.toml"
    path.write_text(example_with("https://center.gangseo.example:8443", address), encoding="utf-8")
    assert load_config(path, environ=NOWHERE).center.ingest_url == address


@pytest.mark.parametrize("name", ["quarantine", "reserve"])
def test_a_camera_may_not_be_called_like_a_part_of_the_spool(tmp_path, name):
    assert only_mistake(tmp_path, 'id = "front"', f'id = "{name}"').startswith("camera[0].id: found")


def test_a_run_dir_too_long_for_the_simulated_bells_socket_is_a_mistake(tmp_path):
    text = example_with("# simulate = false", "simulate = true")
    long = f'run_dir = "/{"r" * 100}"\n'
    assert [mistake.split(":")[0] for mistake in mistakes_of(tmp_path, long + text)] == ["run_dir"]
    path = tmp_path / "pole.toml"
    path.write_text(f'run_dir = "/{"r" * 80}"\n' + text, encoding="utf-8")
    assert load_config(path, environ=NOWHERE).bell.simulate
