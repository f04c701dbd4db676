from pathlib import Path

import pytest

from center.config import load_config, parse_config
from center.errors import ConfigError
from center.site_layout import NewSite, config_text

GOOD = config_text(NewSite())
BASE = Path("/srv/center")


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, BASE)
    return caught.value.mistakes


def test_what_init_writes_is_in_order_and_counts_paths_from_its_folder() -> None:
    config = parse_config(GOOD, BASE)
    assert config.database == BASE / "state" / "center.sqlite"
    assert config.ingest.ca_file == BASE / "pki" / "ca.crt"
    assert (config.broker.port, config.silent_after_s) == (8883, 20.0)


def test_an_absolute_path_stays() -> None:
    assert parse_config(GOOD.replace('"state"', '"/var/lib/x"'), BASE).state_dir == Path("/var/lib/x")


def test_every_mistake_comes_at_once_each_with_its_key() -> None:
    text = GOOD.replace("port = 8443", 'port = "8443"').replace('host = "127.0.0.1"', 'hots = "127.0.0.1"', 1)
    found = mistakes(text.replace("silent_after_s = 20", "silent_after_s = 0").replace("[receipts]", "[receipt]"))
    keys = [mistake.split(":")[0] for mistake in found]
    assert sorted(keys) == sorted(
        ["receipt", "silent_after_s", "ingest.hots", "ingest.host", "ingest.port", "receipts.key_file"]
    )


def test_an_unknown_key_names_the_nearest_known() -> None:
    assert "did you mean state_dir?" in mistakes(GOOD.replace("state_dir", "statedir"))[0]


@pytest.mark.parametrize("port", ["0", "65536", "-1", "true", "8883.0"])
def test_a_port_is_a_port(port: str) -> None:
    assert mistakes(GOOD.replace("port = 8883", f"port = {port}"))[0].startswith("broker.port:")


def test_a_table_must_be_a_table() -> None:
    assert mistakes('console = "x"\n' + GOOD.replace("[console]", "[ingest2]"))[0]


def test_an_empty_text_is_a_mistake() -> None:
    assert "custodian.key_dir: must not be empty" in mistakes(GOOD.replace('key_dir = "custodian"', 'key_dir = ""'))


def test_what_is_not_toml_says_so() -> None:
    assert mistakes("state_dir = ")[0].startswith("center.toml: not valid TOML")


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pole-center init"):
        load_config(tmp_path / "center.toml")


def test_the_poles_list_stands_beside_the_keys_unless_said_otherwise() -> None:
    text = GOOD.replace('recipients_file = "recipients.txt"\n', "")
    assert parse_config(text, BASE).custodian.pole_list == BASE / "recipients.txt"


def test_without_a_word_the_delays_are_those_of_the_design_and_there_is_no_hook() -> None:
    rules = parse_config(GOOD, BASE).escalation
    assert (rules.second_s, rules.wall_s, rules.hook_s) == (15.0, 30.0, 60.0)
    assert (rules.hook_command, rules.hook_url) == ((), "")


def test_a_hook_is_a_list_of_words_or_an_https_address() -> None:
    command = parse_config(GOOD + '[escalation]\nhook_command = ["/usr/bin/pager", "--loud"]\n', BASE).escalation
    assert command.hook_command == ("/usr/bin/pager", "--loud")
    text = GOOD + '[escalation]\nhook_url = "https://town.example/bell"\nhook_token_file = "token"\nsecond_s = 5\n'
    web = parse_config(text, BASE).escalation
    assert (web.hook_url, web.hook_token_file, web.second_s) == ("https://town.example/bell", BASE / "token", 5.0)


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("second_s = 40", "escalation.second_s"),
        ("wall_s = 15", "escalation.second_s"),
        ("hook_s = 3601", "escalation.hook_s"),
        ('hook_command = "/usr/bin/pager"', "escalation.hook_command"),
        ("hook_command = []", "escalation.hook_command"),
        ('hook_command = ["/usr/bin/pager", 3]', "escalation.hook_command"),
        ('hook_command = ["pager"]', "escalation.hook_command"),
        ('hook_url = "http://town.example/bell"', "escalation.hook_url"),
        ('hook_url = "https:///bell"', "escalation.hook_url"),
        ('hook_url = "https://town.example:bell/"', "escalation.hook_url"),
        ('hook_url = "https://town.example/a b\\r\\nX: y"', "escalation.hook_url"),
        ('hook_command = ["/a"]\nhook_url = "https://town.example/"', "escalation.hook_url"),
        ('hook_token_file = "token"', "escalation.hook_token_file"),
        ("hook_attempts = 0", "escalation.hook_attempts"),
        ("third_s = 3", "escalation.third_s"),
    ],
)
def test_a_wrong_escalation_is_named_by_its_key(lines: str, key: str) -> None:
    found = mistakes(f"{GOOD}[escalation]\n{lines}\n")
    assert [mistake.split(":")[0] for mistake in found] == [key]
