"""The command `pole-agent`: the four services, and the tools a technician uses at the pole.

Exit status: 0 done, 1 failed (one sentence on standard error), 2 wrong words, 78 the configuration is wrong
(EX_CONFIG, so that systemd's RestartPreventExitStatus can tell it apart).
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from agent import __version__
from agent.clock import SystemClock
from agent.config import Config
from agent.config_file import load_config
from agent.errors import ConfigError, PoleAgentError
from agent.log_setup import log_to_stderr

DEFAULT_CONFIG = Path("/etc/pole-agent/pole.toml")
EX_CONFIG = 78


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = _parser().parse_args(argv)
    log_to_stderr(words.verbose)
    command: Callable[[argparse.Namespace], int] = words.command
    try:
        return command(words)
    except ConfigError as error:
        _say(f"{words.config}: {len(error.mistakes)} mistake(s)")
        for mistake in error.mistakes:
            _say(f"  {mistake}")
        return EX_CONFIG
    except PoleAgentError as error:
        _say(str(error))
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pole-agent", description="The software of one camera pole.")
    parser.add_argument("--version", action="version", version=f"pole-agent {__version__}")
    parser.add_argument("--verbose", action="store_true", help="log every step")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE")
        sub.set_defaults(command=command)
        return sub

    camera = add("camera", _camera, "record one camera: capture, seal, spool")
    camera.add_argument("--id", required=True, help="camera id from the configuration")
    add("upload", _upload, "send sealed segments to the center, delete on its receipt")
    add("bell", _bell, "watch the emergency bell and keep the MQTT session")
    add("health", _health, "run the probes and compose the heartbeat")
    add("check-config", _check_config, "read the configuration and list every mistake")
    verify = add("verify", _verify, "check the spool against the invariants of docs/design/spool.md")
    verify.add_argument("--spool", type=Path, metavar="DIR", help="check this directory instead of the configured one")
    verify.add_argument("--json", action="store_true", help="print one JSON object")
    press = add("press-bell", _press_bell, "press the simulated bell ([bell] simulate = true)")
    press.add_argument("--hold-ms", type=int, default=200, help="how long the button is held (default 200)")
    return parser


def _camera(words: argparse.Namespace) -> int:
    from agent.wiring.camera import build_camera_service

    config = load_config(words.config)
    if words.id not in [camera.id for camera in config.cameras]:
        known = ", ".join(camera.id for camera in config.cameras)
        raise ConfigError([f"camera: there is no camera '{words.id}'; configured are: {known}"])
    return build_camera_service(config, words.id, SystemClock()).run()


def _upload(words: argparse.Namespace) -> int:
    from agent.wiring.upload import build_upload_service

    return build_upload_service(load_config(words.config), SystemClock()).run()


def _bell(words: argparse.Namespace) -> int:
    from agent.wiring.bell import build_bell_service

    return build_bell_service(load_config(words.config), SystemClock()).run()


def _health(words: argparse.Namespace) -> int:
    from agent.wiring.health import build_health_service

    return build_health_service(load_config(words.config), SystemClock()).run()


def _check_config(words: argparse.Namespace) -> int:
    config: Config = load_config(words.config, check_files=True)
    cameras = ", ".join(f"{camera.id} ({camera.source})" for camera in config.cameras)
    print(f"{words.config}: in order. pole {config.pole.id}, cameras {cameras}")
    return 0


def _verify(words: argparse.Namespace) -> int:
    from agent.recording.spool_check import check_spool

    directory = words.spool or load_config(words.config).spool.dir
    report = check_spool(directory)
    if words.json:
        print(json.dumps(report.as_dict()))
    else:
        print(report.as_text())
    return 1 if report.findings else 0


def _press_bell(words: argparse.Namespace) -> int:
    from agent.bell.control_socket import press_bell

    press_bell(load_config(words.config).run_dir, words.hold_ms)
    return 0


def _say(text: str) -> None:
    print(f"pole-agent: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
