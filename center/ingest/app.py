"""Ingest over HTTP: tus 1.0.0, receipts and records (docs/contract/ingest.openapi.json).

Rules:
* every request but the health check passes the gate first: its certificate must name a pole that is not revoked;
* one writer an upload: a second PATCH meanwhile is answered 423;
* nothing blocks the event loop: files and the store are used in threads;
* every error leaves as problem+json with a code; what we did not foresee is logged and answered 500 by the server.
"""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from center.errors import SealError, StoreError
from center.ingest.announcement import MAX_BYTES
from center.ingest.chunk import IDLE_S, ChunkReceiver, RunningDigests, oversized
from center.ingest.identity import Gate
from center.ingest.partial import PartialStore, PartialUpload
from center.ingest.problem import Refusal
from center.ingest.receiver import Receiver, Standing
from center.ingest.records_intake import RecordBatch, parse_batch
from center.ingest.tus_headers import (
    ALGORITHMS,
    CHUNK_TYPE,
    EXTENSIONS,
    VERSION,
    parse_announcement,
    parse_checksum,
    parse_number,
)

log = logging.getLogger(__name__)

RECORDS_BYTES = 4 << 20
RECORDS_S = 120.0
OVERRIDES = ("PATCH", "DELETE", "HEAD")

Handler = Callable[[Request, str], Awaitable[Response]]
TakeRecords = Callable[[str, RecordBatch], int]


class IngestApp:
    """The routes over one `Receiver`; `take_records` stores a batch and `ready` says whether the center can write."""

    def __init__(
        self,
        receiver: Receiver,
        partials: PartialStore,
        gate: Gate,
        take_records: TakeRecords,
        ready: Callable[[], object],
        idle_s: float = IDLE_S,
    ) -> None:
        self._receiver = receiver
        self._partials = partials
        self._gate = gate
        self._take_records = take_records
        self._ready = ready
        self._idle_s = idle_s
        self._writing: dict[str, int] = {}  # upload -> the offset that was durable when its writer began
        self._digests = RunningDigests()

    def asgi(self) -> ASGIApp:
        """Return the application."""
        return _overriding(Starlette(routes=self.routes()))

    def routes(self) -> list[Route]:
        """Return every route; the OpenAPI document is checked against them."""
        return [
            Route("/files", self._guarded(self._options, tus=False), methods=["OPTIONS"]),
            Route("/files", self._guarded(self._create), methods=["POST"]),
            Route("/files/{id}", self._guarded(self._head), methods=["HEAD"]),
            Route("/files/{id}", self._guarded(self._patch), methods=["PATCH"]),
            Route("/files/{id}", self._guarded(self._delete), methods=["DELETE"]),
            Route("/receipts/{segment}", self._guarded(self._receipt, tus=False), methods=["GET"]),
            Route("/records", self._guarded(self._records, tus=False), methods=["POST"]),
            Route("/healthz", self._health, methods=["GET"]),
        ]

    def _guarded(self, handler: Handler, *, tus: bool = True) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                pole = await run_in_threadpool(self._gate.admit, getattr(request.state, "peer", None))
                if tus and request.headers.get("Tus-Resumable") != VERSION:
                    raise Refusal("tus-version", headers={"Tus-Version": VERSION})
                response = await handler(request, pole)
            except Refusal as refusal:
                response = refusal.response()
            except (StoreError, SealError) as exc:  # the database, or the custodian's list of recipients
                log.error("ingest cannot use its store reason=%s", exc)
                response = Refusal("store-failed", "the center cannot store now; it is tried again").response()
            except ClientDisconnect:
                response = Response(status_code=400)  # nobody is there to read it
            response.headers["Tus-Resumable"] = VERSION
            return response

        return guarded

    async def _options(self, request: Request, pole: str) -> Response:
        headers = {
            "Tus-Version": VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(MAX_BYTES),
            "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
        }
        return Response(status_code=204, headers=headers)

    async def _create(self, request: Request, pole: str) -> Response:
        said = parse_announcement(
            request.headers.get("Upload-Metadata"),
            request.headers.get("Upload-Length"),
            request.headers.get("Upload-Defer-Length"),
        )
        standing = await run_in_threadpool(self._receiver.announce, pole, said, self._writing.__contains__)
        headers = {"Location": f"/files/{standing.id}", "Upload-Offset": str(self._durable(standing))}
        return Response(status_code=201, headers=headers)

    async def _head(self, request: Request, pole: str) -> Response:
        standing = await run_in_threadpool(self._receiver.standing, pole, request.path_params["id"])
        return Response(status_code=200, headers=_standing_headers(standing, self._durable(standing)))

    def _durable(self, standing: Standing) -> int:
        """Return the bytes that may be told: what a writer is adding just now is not durable yet."""
        return min(standing.offset, self._writing.get(standing.id, standing.offset))

    async def _patch(self, request: Request, pole: str) -> Response:
        if request.headers.get("Content-Type") != CHUNK_TYPE:
            raise Refusal("wrong-type")
        offset = parse_number("Upload-Offset", request.headers.get("Upload-Offset"))
        name = request.path_params["id"]
        await run_in_threadpool(self._receiver.own, pole, name)  # before the lock: nobody locks another pole's upload
        if name in self._writing:
            raise Refusal("locked", "another request is writing this upload; try again in a moment")
        self._writing[name] = MAX_BYTES
        try:
            return await self._write(request, pole, name, offset)
        finally:
            del self._writing[name]

    async def _write(self, request: Request, pole: str, name: str, offset: int) -> Response:
        standing = await run_in_threadpool(self._receiver.standing, pole, name)
        if offset != standing.offset:
            raise Refusal("offset-conflict", f"{standing.offset} bytes are here, Upload-Offset says {offset}")
        self._writing[name] = offset
        upload = standing.partial
        if upload is not None:
            upload = await self._with_length(request, upload)
            offset = await self._take(request, upload, offset)
        return Response(status_code=204, headers={"Upload-Offset": str(offset)})

    async def _with_length(self, request: Request, upload: PartialUpload) -> PartialUpload:
        length = request.headers.get("Upload-Length")
        if length is None:
            return upload
        return await run_in_threadpool(self._receiver.fix_length, upload, parse_number("Upload-Length", length))

    async def _take(self, request: Request, upload: PartialUpload, offset: int) -> int:
        """Receive the body and return the new durable offset; the last byte lets the center hold the segment."""
        await run_in_threadpool(self._receiver.check_room)
        checksum = parse_checksum(request.headers.get("Upload-Checksum"))
        if await run_in_threadpool(self._partials.size, upload) is not None:
            with await run_in_threadpool(self._partials.writer, upload, offset) as writer:
                running = self._digests.at(upload.id, offset)
                room = self._receiver.check_room
                chunk = ChunkReceiver(writer, upload.bytes - offset, checksum, running, room)
                try:
                    await chunk.receive(request.stream(), self._idle_s)
                finally:
                    offset = writer.offset
                    self._digests.keep(upload.id, offset, chunk.digest)
        if offset == upload.length:
            running = self._digests.at(upload.id, offset)
            self._digests.drop(upload.id)
            await run_in_threadpool(self._receiver.finish, upload, running.hexdigest() if running else None)
        return offset

    async def _delete(self, request: Request, pole: str) -> Response:
        name = request.path_params["id"]
        if name in self._writing:
            raise Refusal("locked", "another request is writing this upload; try again in a moment")
        await run_in_threadpool(self._receiver.forget, pole, name)
        self._digests.drop(name)
        return Response(status_code=204)

    async def _receipt(self, request: Request, pole: str) -> Response:
        note = await run_in_threadpool(self._receiver.receipt, pole, request.path_params["segment"])
        return PlainTextResponse(note)

    async def _records(self, request: Request, pole: str) -> Response:
        try:
            async with asyncio.timeout(RECORDS_S):
                batch = parse_batch(await _bounded_body(request))
        except TimeoutError as exc:
            raise Refusal("too-slow", f"the body took over {RECORDS_S:g} s", {"Connection": "close"}) from exc
        await run_in_threadpool(self._receiver.check_room)
        return JSONResponse({"next": await run_in_threadpool(self._take_records, pole, batch)})

    async def _health(self, request: Request) -> Response:
        try:
            await run_in_threadpool(self._ready)
        except StoreError as exc:
            log.error("ingest cannot write reason=%s", exc)
            return Refusal("store-failed", "the center cannot write").response()
        return JSONResponse({"status": "ok"})


async def _bounded_body(request: Request) -> bytes:
    body = bytearray()
    stream = request.stream()
    async for piece in stream:
        body += piece
        if len(body) > RECORDS_BYTES:
            raise await oversized(stream, f"a batch of records may have {RECORDS_BYTES} bytes")
    return bytes(body)


def _standing_headers(standing: Standing, offset: int) -> dict[str, str]:
    headers = {"Upload-Offset": str(offset), "Cache-Control": "no-store"}
    if standing.length is None:
        headers["Upload-Defer-Length"] = "1"
    else:
        headers["Upload-Length"] = str(standing.length)
    if standing.partial is not None:
        partial = standing.partial
        pairs = (("segment", partial.segment), ("sha256", partial.sha256), ("record", partial.record))
        encoded = [f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in pairs]
        headers["Upload-Metadata"] = ",".join(encoded)
    return headers


def _overriding(app: ASGIApp) -> ASGIApp:
    """Let `X-HTTP-Method-Override` stand for the method, as tus 1.0.0 asks of a server."""

    async def overriding(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            wanted: Any = dict(scope["headers"]).get(b"x-http-method-override", b"")
            if wanted.decode("latin-1") in OVERRIDES:
                scope = {**scope, "method": wanted.decode("latin-1")}
        await app(scope, receive, send)

    return overriding
