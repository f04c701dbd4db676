"""The words of `pole-center` about commands: command, command-approve, command-log, command-keys.

`center.__main__` calls `add_words` and hands each run to the function that the words name.
"""

import argparse
import datetime
import time
from pathlib import Path

from center.commands.key_folder import KeyFolder
from center.commands.signing import Arg, CommandOffice, Order
from center.config import CenterConfig, load_config
from center.errors import ConflictError
from center.store import Store
from center.store.commands import CommandRow
from center.store.store import utc_now_us

POLL_S = 0.1
WAIT_S = 20.0

_Commands = argparse._SubParsersAction  # the type argparse does not export


def add_words(commands: "_Commands[argparse.ArgumentParser]", default_config: Path) -> None:
    """Add our words to those of `pole-center`; each sets `command` to a function of the parsed words."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, default=default_config, metavar="FILE")
    common.add_argument(
        "--keys", type=Path, metavar="DIR", help="command keys (default: command-keys beside custodian)"
    )
    text = "sign a command and send it to a pole; exit status 0 when the pole did it"
    command = commands.add_parser("command", help=text, description=text, parents=[common])
    command.add_argument("pole")
    command.add_argument("op", metavar="OP")
    command.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE")
    command.add_argument("--reason", required=True, help="why; goes with the command into every book")
    command.add_argument("--officer", required=True, help="whose key signs")
    command.add_argument(
        "--wait", type=float, default=WAIT_S, metavar="S", help="how long to wait for the pole's answer"
    )
    command.set_defaults(command=_command)
    text = "sign a waiting command as its second officer and send it"
    approve = commands.add_parser("command-approve", help=text, description=text, parents=[common])
    approve.add_argument("jti", metavar="ID")
    approve.add_argument("--officer", required=True)
    approve.add_argument("--wait", type=float, default=WAIT_S, metavar="S")
    approve.set_defaults(command=_approve)
    text = "print what poles did and refused, newest first"
    log = commands.add_parser("command-log", help=text, description=text, parents=[common])
    log.add_argument("--pole")
    log.add_argument("--limit", type=int, default=50)
    log.set_defaults(command=_log)
    _add_keys(commands, common)


def _add_keys(commands: "_Commands[argparse.ArgumentParser]", common: argparse.ArgumentParser) -> None:
    text = "who may command poles"
    group = commands.add_parser("command-keys", help=text, description=text).add_subparsers(
        required=True, metavar="WHAT"
    )
    group.add_parser("init", help="make a root and an empty set", parents=[common]).set_defaults(command=_keys_init)
    add = group.add_parser("add", help="give an officer a key and sign the next set", parents=[common])
    add.add_argument("officer")
    add.add_argument("role")
    add.add_argument("--public", default="", metavar="X", help="the public half of a key made elsewhere (base64url)")
    add.set_defaults(command=_keys_add)
    remove = group.add_parser("remove", help="revoke a key and sign the next set", parents=[common])
    remove.add_argument("kid")
    remove.set_defaults(command=_keys_remove)
    group.add_parser("show", help="print the newest set", parents=[common]).set_defaults(command=_keys_show)
    send = group.add_parser("send", help="send the newest set to poles", parents=[common])
    send.add_argument("poles", nargs="+", metavar="POLE")
    send.set_defaults(command=_keys_send)


class _Desk:
    """What every word needs, opened once."""

    def __init__(self, words: argparse.Namespace) -> None:
        config = load_config(words.config)
        self.keys = _folder(words, config)
        self.store = Store(config.database)
        self.office = CommandOffice(self.keys, self.store.commands, utc_now_us)

    def __enter__(self) -> "_Desk":
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()


def _folder(words: argparse.Namespace, config: CenterConfig) -> KeyFolder:
    return KeyFolder(words.keys or config.custodian.key_dir.parent / "command-keys")


def _command(words: argparse.Namespace) -> int:
    order = Order(words.pole, words.op, _args(words.arg), words.reason)
    with _Desk(words) as desk:
        row = desk.office.issue(order, words.officer)
        if row.state == "waiting":
            minutes = (row.exp_us - row.created_at_us) // 60_000_000
            print(f"{row.jti} waits {minutes} minutes for a second officer: pole-center command-approve {row.jti}")
            return 0
        return _follow(desk, row, words.wait)


def _approve(words: argparse.Namespace) -> int:
    with _Desk(words) as desk:
        return _follow(desk, desk.office.approve(words.jti, words.officer), words.wait)


def _follow(desk: _Desk, row: CommandRow, wait_s: float) -> int:
    """Wait for the pole; a challenge to one officer is answered at once, one to two officers begins anew."""
    row = _ended(desk, row.jti, wait_s)
    if row.state == "challenged":
        replies = desk.store.commands.replies(row.jti)
        row = desk.office.again(row, replies[-1].nonce if replies else "")
        if row.state == "waiting":
            print(f"the pole asks for a fresh signature; {row.jti} waits for a second officer")
            return 1
        row = _ended(desk, row.jti, wait_s)
    told = f": {row.detail}" if row.detail else ""
    print(f"{row.pole} {row.op} {row.state}{f' ({row.code})' if row.code else ''}{told}")
    for reply in desk.store.commands.replies(row.jti):
        for line in reply.lines:
            print(line)
    return 0 if row.state == "done" else 1


def _ended(desk: _Desk, jti: str, wait_s: float) -> CommandRow:
    deadline = time.monotonic() + wait_s
    while not (row := desk.store.commands.get(jti)).ended and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return row


def _log(words: argparse.Namespace) -> int:
    with _Desk(words) as desk:
        for row in desk.store.commands.audits(words.pole, words.limit):
            audit = row.audit
            who = " ".join(part for part in (audit.officer, audit.approver, audit.op) if part) or "unknown"
            flood = f" (+{audit.suppressed} not listed)" if audit.suppressed else ""
            told = " ".join(part for part in (audit.phase, audit.code) if part)
            print(f"{_utc(audit.at_us)} {audit.pole} {told} {who}: {audit.detail or audit.reason}{flood}")
    return 0


def _keys_init(words: argparse.Namespace) -> int:
    folder = _folder(words, load_config(words.config))
    folder.create()
    print(f"{folder.set_file}: pin it on each pole; now `pole-center command-keys add OFFICER ROLE`")
    return 0


def _keys_add(words: argparse.Namespace) -> int:
    folder = _folder(words, load_config(words.config))
    key = folder.add(words.officer, words.role, words.public)
    print(f"{key.kid} {key.role} {key.officer}; set {folder.current().serial}")
    return 0


def _keys_remove(words: argparse.Namespace) -> int:
    found = _folder(words, load_config(words.config)).remove(words.kid)
    print(f"set {found.serial} without it is signed; send it to every pole")
    return 0


def _keys_show(words: argparse.Namespace) -> int:
    found = _folder(words, load_config(words.config)).current()
    print(f"serial {found.serial}, {found.threshold} of {len(found.roots)} roots sign the next")
    for kid, key in found.keys.items():
        print(f"{kid} {key.role} {key.officer}")
    return 0


def _keys_send(words: argparse.Namespace) -> int:
    with _Desk(words) as desk:
        note = desk.keys.note().encode()
        serial = desk.keys.current().serial
        for pole in words.poles:
            desk.store.commands.send_keys(pole, note)
    print(f"set {serial} goes to {len(words.poles)} poles; `pole-center command-log` shows who took it")
    return 0


def _args(pairs: list[str]) -> dict[str, Arg]:
    args: dict[str, Arg] = {}
    for pair in pairs:
        name, found, value = pair.partition("=")
        if not found or not name or name in args:
            raise ConflictError(f"--arg {pair!r} is not NAME=VALUE, or names one twice")
        args[name] = int(value) if value.isascii() and value.isdigit() else value
    return args


def _utc(at_us: int) -> str:
    return datetime.datetime.fromtimestamp(at_us / 1e6, datetime.UTC).isoformat(timespec="seconds")
