"""The OpenAPI document of ingest is in step with its routes, codes and shapes (docs/contract/ingest.openapi.json)."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from center.ingest.app import IngestApp
from center.ingest.problem import CODES, Refusal
from center.ingest.records_intake import BATCH, RecordBatch

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs/contract/ingest.openapi.json").read_text())
METHODS = ("get", "head", "post", "patch", "delete", "options", "put")


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def schema(name: str) -> dict[str, Any]:
    return DOCUMENT["components"]["schemas"][name]


def test_every_route_is_documented_and_nothing_else():
    app = IngestApp(None, None, None, None, None)
    routes = {(route.path, method.lower()) for route in app.routes() for method in route.methods or ()}
    routes -= {("/receipts/{segment}", "head"), ("/healthz", "head")}  # starlette adds HEAD to GET
    assert routes == {(path, method) for path, method, _ in operations()}


def test_every_code_is_documented_and_nothing_else():
    assert set(schema("Problem")["properties"]["code"]["enum"]) == set(CODES)
    used = {
        code
        for _, _, operation in operations()
        for answer in operation["responses"].values()
        for code in answer.get("x-codes", ())
    }
    assert used == set(CODES)


def test_every_code_stands_under_its_status():
    for path, method, operation in operations():
        for status, answer in operation["responses"].items():
            for code in answer.get("x-codes", ()):
                assert CODES[code][0] == int(status), f"{method} {path}: {code}"


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_refusal_has_the_documented_shape(code: str):
    response = Refusal(code, "why").response()
    assert response.headers["content-type"] == "application/problem+json"
    body = json.loads(bytes(response.body))
    jsonschema.validate(body, schema("Problem"))
    assert body["status"] == response.status_code == CODES[code][0]


def test_a_batch_of_records_has_the_documented_shape():
    batch = msgspec.to_builtins(RecordBatch(3, ["{}"]))
    jsonschema.validate(batch, schema("RecordBatch"))
    assert schema("RecordBatch")["properties"]["records"]["maxItems"] == BATCH
    assert set(schema("RecordBatch")["properties"]) == set(RecordBatch.__struct_fields__)


def test_every_reference_leads_somewhere():
    text = json.dumps(DOCUMENT)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in DOCUMENT["components"]["schemas"]
