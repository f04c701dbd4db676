"""Builds ingest from the configuration and serves it: `pole-center ingest`."""

import logging
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from starlette.types import ASGIApp

from agent.contract.errors import ContractError
from agent.contract.signed_note import NoteSigner
from center.config import CenterConfig, IngestConfig
from center.custodian.recipients import RecipientList
from center.errors import ConfigError, StoreError
from center.ingest.app import IngestApp
from center.ingest.completion import Completion, Step, no_step
from center.ingest.identity import Gate
from center.ingest.partial import PartialStore, make_directory
from center.ingest.receiver import Receiver
from center.ingest.records_intake import RecordBatch, take_records
from center.ingest.uvicorn_mtls import serve, tls_context
from center.store import Store
from center.store.store import utc_now_us

log = logging.getLogger(__name__)


def run_ingest(config: CenterConfig, step: Step = no_step, ready: Callable[[], object] = lambda: None) -> int:
    """Serve until SIGTERM and return the exit status; `step` and `ready` are hooks for tests and service managers.

    Raises:
        ConfigError: a file, the address or the state directory cannot be used; each sentence names its key.
        StoreError: the database cannot be opened.
    """
    tls = _tls(config.ingest)
    signer = _signer(config.receipts.key_file)
    listener = _listener(config.ingest)
    store = Store(config.database)
    try:
        app = build_app(config, store, signer, step)

        def tell() -> None:
            log.info("ingest ready host=%s port=%d", config.ingest.host, config.ingest.port)
            ready()

        serve(app, listener, tls, tell)
    finally:
        listener.close()
        store.close()
    return 0


def build_app(config: CenterConfig, store: Store, signer: NoteSigner, step: Step = no_step) -> ASGIApp:
    """Return the application after finishing what a crash left half done.

    Raises:
        StoreError: the state directory cannot be written.
    """
    try:
        make_directory(config.objects_dir)
        partials = PartialStore(config.state_dir / "ingest" / "partial")
        completion = Completion(store, partials, config.objects_dir, signer, utc_now_us, step)
        finished = completion.recover()
    except OSError as exc:
        raise StoreError(f"{config.state_dir} cannot be used: {exc}; check state_dir and its rights") from exc
    if finished:
        log.info("uploads finished after a restart count=%d", finished)
    known = RecipientList(config.custodian.key_dir).knows
    limit = config.ingest.min_free_bytes
    receiver = Receiver(store, partials, completion, known, config.state_dir, limit, utc_now_us)

    def take(pole: str, batch: RecordBatch) -> int:
        return take_records(store, pole, batch, utc_now_us)

    return IngestApp(receiver, partials, Gate(config.ingest.crl_file), take, store.write_check).asgi()


def _tls(ingest: IngestConfig) -> ssl.SSLContext:
    named = (("cert_file", ingest.cert_file), ("key_file", ingest.key_file), ("ca_file", ingest.ca_file))
    mistakes = [f"ingest.{key}: {path} is not there" for key, path in named if not path.is_file()]
    if mistakes:
        raise ConfigError(mistakes)
    try:
        return tls_context(ingest.cert_file, ingest.key_file, ingest.ca_file)
    except OSError as exc:
        text = f"ingest.cert_file: {ingest.cert_file} with its key and CA cannot be used: {exc}; issue it again"
        raise ConfigError([text]) from exc


def _signer(key_file: Path) -> NoteSigner:
    try:
        return NoteSigner.parse(key_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ContractError) as exc:
        raise ConfigError([f"receipts.key_file: {key_file} cannot be used: {exc}"]) from exc


def _listener(ingest: IngestConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in ingest.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # inherited by every connection; asyncio sets it only where `proto` says TCP, and an answer took 40 ms more
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((ingest.host, ingest.port))
    except OSError as exc:
        listener.close()
        raise ConfigError([f"ingest.port: {ingest.host}:{ingest.port} cannot be listened on: {exc.strerror}"]) from exc
    return listener
