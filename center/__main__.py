"""The command `pole-center`: the three processes of the center, and the tools around its keys and ledger.

Exit status: 0 done, 1 failed (one sentence on standard error), 2 wrong words, 78 the configuration is wrong.
"""

import argparse
import csv
import datetime
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from agent import __version__
from agent.contract.errors import PoleAgentError
from center.commands.cli import add_words
from center.config import CenterConfig, load_config
from center.errors import ConfigError, OpeningRefusedError, PkiError

if TYPE_CHECKING:
    from center.store import Store

DEFAULT_CONFIG = Path("/etc/pole-center/center.toml")
EX_CONFIG = 78


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    words = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = words.command
    try:
        return command(words)
    except ConfigError as error:
        _say(f"{len(error.mistakes)} mistake(s)")
        for mistake in error.mistakes:
            _say(f"  {mistake}")
        return EX_CONFIG
    except PoleAgentError as error:
        _say(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        _say(f"{error.filename or 'a file'}: {error.strerror}")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pole-center", description="The control center of camera poles.")
    parser.add_argument("--version", action="version", version=f"pole-center {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command, text in (
        ("ingest", _ingest, "receive sealed segments and records"),
        ("alarms", _alarms, "receive bells and heartbeats, send receipts and answers"),
        ("console", _console, "serve the web pages"),
    ):
        service = _add(commands, name, command, text)
        service.add_argument("--verbose", action="store_true", help="log every step")
    _add_init(commands)
    broker = _add(commands, "broker-config", _broker_config, "write mosquitto.conf and its access list into DIR")
    broker.add_argument("directory", type=Path, metavar="DIR")
    broker.add_argument("--user", help="the account mosquitto runs as (default: yours)")
    _add_pki(commands)
    _add_custodian(commands)
    add_words(commands, DEFAULT_CONFIG)
    ledger = _add(commands, "ledger", _ledger, "print the ledger as CSV, oldest first")
    ledger.add_argument("--out", type=Path, metavar="FILE", help="write there instead of standard output")
    ledger.add_argument("--verify", action="store_true", help="only check the chain; print its newest hash")
    return parser


_Commands = argparse._SubParsersAction  # the type argparse does not export


def _add(
    commands: "_Commands[argparse.ArgumentParser]",
    name: str,
    command: Callable[[argparse.Namespace], int],
    text: str,
    *,
    config: bool = True,
) -> argparse.ArgumentParser:
    sub = commands.add_parser(name, help=text, description=text)
    if config:
        sub.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE")
    sub.set_defaults(command=command)
    return sub


def _add_init(commands: "_Commands[argparse.ArgumentParser]") -> None:
    init = _add(commands, "init", _init, "lay out a new center in DIR; never overwrites", config=False)
    init.add_argument("directory", type=Path, metavar="DIR")
    init.add_argument("--host", default="127.0.0.1", help="the address it listens on")
    init.add_argument("--name", action="append", default=[], help="a name or address it is reached by, again for more")
    init.add_argument("--zone", default="demo", help="key zone of its first poles")
    for service, port in (("ingest", 8443), ("broker", 8883), ("console", 8444)):
        init.add_argument(f"--{service}-port", type=int, default=port)


def _add_pki(commands: "_Commands[argparse.ArgumentParser]") -> None:
    group = commands.add_parser("pki", help="certificates", description="certificates").add_subparsers(
        required=True, metavar="WHAT"
    )
    create = _add(group, "init", _pki_init, "make a certificate authority in DIR", config=False)
    create.add_argument("directory", type=Path, metavar="DIR")
    for kind, text in (("pole", "a pole's"), ("center", "a center process's"), ("person", "a person's")):
        issue = _add(group, kind, _pki_issue, f"issue {text} certificate")
        issue.add_argument("name")
        issue.add_argument("--days", type=int, default=397)
        issue.add_argument("--pki", type=Path, metavar="DIR", help="the authority (default: pki_dir of the config)")
        issue.set_defaults(kind=kind, hosts=[])
        if kind == "center":
            issue.add_argument("--host", dest="hosts", action="append", help="a name or address it is reached by")
    revoke = _add(group, "revoke", _pki_revoke, "put a certificate on the revocation list")
    revoke.add_argument("certificate", type=Path, metavar="FILE.crt")
    revoke.add_argument("--pki", type=Path, metavar="DIR")


def _add_custodian(commands: "_Commands[argparse.ArgumentParser]") -> None:
    opening = _add(commands, "open", _open, "open sealed video for a reason; the ledger row comes first")
    opening.add_argument("what", metavar="FILE|SEGMENT")
    opening.add_argument("--reason", required=True, help="why; written into the ledger")
    opening.add_argument("--officer", required=True, help="who; written into the ledger")
    opening.add_argument(
        "--out", type=Path, metavar="FILE", help="a new file (default: standard output, if no terminal)"
    )
    group = commands.add_parser("keys", help="sealing keys", description="sealing keys").add_subparsers(
        required=True, metavar="WHAT"
    )
    new = _add(group, "new", _keys_new, "make a key and list its recipient for the poles")
    new.add_argument("--zone", required=True)
    adopt = _add(group, "import", _keys_import, "take in a key made elsewhere, read from standard input")
    adopt.add_argument("--zone", required=True)
    _add(group, "list", _keys_list, "list the public half of every key")


def _ingest(words: argparse.Namespace) -> int:
    from center.ingest.service import run_ingest

    return run_ingest(_service_config(words))


def _alarms(words: argparse.Namespace) -> int:
    from center.alarms.service import run_alarms

    return run_alarms(_service_config(words))


def _console(words: argparse.Namespace) -> int:
    from center.console.service import run_console

    return run_console(_service_config(words))


def _service_config(words: argparse.Namespace) -> CenterConfig:
    from center.process import log_to_stderr

    log_to_stderr(logging.DEBUG if words.verbose else logging.INFO)
    return load_config(words.config)


def _init(words: argparse.Namespace) -> int:
    from center.site_layout import NewSite, make_site

    site = NewSite(words.host, words.name, words.ingest_port, words.broker_port, words.console_port, words.zone)
    make_site(words.directory, site)
    print(f"{words.directory}: a center is laid out; its configuration is {words.directory / 'center.toml'}")
    return 0


def _broker_config(words: argparse.Namespace) -> int:
    from center.site_layout import write_broker

    file = write_broker(load_config(words.config), words.directory, words.user)
    print(f"{file}: start it with `mosquitto -c {file}`")
    return 0


def _pki_init(words: argparse.Namespace) -> int:
    from center import pki

    print(pki.create_authority(words.directory).cert_file)
    return 0


def _pki_issue(words: argparse.Namespace) -> int:
    from center import pki

    directory = _authority(words)
    if words.kind == "pole":
        issued = pki.issue_pole(directory, words.name, words.days)
    elif words.kind == "center":
        issued = pki.issue_center(directory, words.name, words.hosts or pki.LOCAL_HOSTS, words.days)
    else:
        issued = pki.issue_person(directory, words.name, words.days)
    print(issued.cert_file)
    return 0


def _pki_revoke(words: argparse.Namespace) -> int:
    from center import pki

    directory = _authority(words)
    serial = pki.revoke(directory, words.certificate)
    print(f"serial {serial:x} is on {directory / 'ca.crl'}; send SIGHUP to mosquitto and restart ingest and console")
    return 0


def _authority(words: argparse.Namespace) -> Path:
    directory: Path | None = words.pki or load_config(words.config).pki_dir
    if directory is None:
        raise PkiError("there is no authority on this machine: name its folder with --pki DIR")
    return directory


def _open(words: argparse.Namespace) -> int:
    from center.custodian.keyring import Keyring
    from center.custodian.opening import Custodian, Request
    from center.store import Store

    if words.out is None and sys.stdout.isatty():
        raise OpeningRefusedError("clear video does not go to a terminal: name a file with --out, or use a pipe")
    if words.out is not None and words.out.exists():
        raise OpeningRefusedError(f"{words.out} exists already; name another file")
    config = load_config(words.config)
    store = Store(config.database)
    try:
        custodian = Custodian(store, Keyring(config.custodian.key_dir), config.objects_dir)
        request = Request(words.officer, words.reason)
        path = Path(words.what)
        opening = custodian.open_file(path, request) if path.is_file() else custodian.open_segment(words.what, request)
        with _clear_output(words.out) as sink:
            for chunk in opening.chunks():
                sink.write(chunk)
    finally:
        store.close()
    _say(f"opened {opening.file}; ledger row {opening.number}" + ("; torn: only its beginning" if opening.torn else ""))
    return 0


@contextmanager
def _clear_output(out: Path | None) -> Iterator[BinaryIO]:
    """Yield standard output, or a new file that only its owner may read."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as handle:
        yield handle


def _keys_new(words: argparse.Namespace) -> int:
    from center.custodian.keyring import Keyring

    custodian = load_config(words.config).custodian
    row = Keyring(custodian.key_dir).create(words.zone, custodian.pole_list)
    print(f"{row.id} {row.zone} {row.recipient}")
    return 0


def _keys_import(words: argparse.Namespace) -> int:
    from center.custodian.keyring import Keyring

    row = Keyring(load_config(words.config).custodian.key_dir).adopt(words.zone, sys.stdin.read())
    print(f"{row.id} {row.zone} {row.recipient}")
    return 0


def _keys_list(words: argparse.Namespace) -> int:
    from center.custodian.keyring import Keyring

    for row in Keyring(load_config(words.config).custodian.key_dir).rows():
        print(f"{row.id} {row.zone} {_utc(row.created_us)} {row.recipient}")
    return 0


def _ledger(words: argparse.Namespace) -> int:
    from center.store import Store

    store = Store(load_config(words.config).database)
    try:
        count, newest = store.ledger.verify()
        if words.verify:
            print(f"{count} rows in order; newest hash {newest}")
        elif words.out is None:
            _write_ledger(store, sys.stdout)
        else:
            with words.out.open("x", encoding="utf-8", newline="") as handle:
                _write_ledger(store, handle)
    finally:
        store.close()
    return 0


def _write_ledger(store: "Store", handle: TextIO) -> None:
    fields = ("kind", "file", "sha256", "officer", "purpose", "recipient", "ground", "form", "period", "approval")
    writer = csv.writer(handle)
    writer.writerow(["no", "at", *fields, "hash"])
    for row in store.ledger.oldest_first():
        writer.writerow([row.id, _utc(row.at_us), *(getattr(row.entry, name) for name in fields), row.hash])


def _utc(at_us: int) -> str:
    return datetime.datetime.fromtimestamp(at_us / 1e6, datetime.UTC).isoformat(timespec="seconds")


def _say(text: str) -> None:
    print(f"pole-center: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
