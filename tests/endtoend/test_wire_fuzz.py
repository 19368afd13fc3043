"""Whatever is sent to a wire, it answers with one of its own statuses, and what it took in can be drained."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from experiments.wire.decide import Decide
from marketing.models import DeadLetter, Event, Source, WriteKey
from marketing.services.drain import drain
from marketing.spooling.writer import SpoolWriter
from marketing.wire import collect, gate
from marketing.wire.gate import ClientGate
from marketing.wire.keys import WriteKeys
from tests.factories.experiments import make_experiment

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECRET = "fuzz"
DECISIONS = ["/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/shown", f"/api/eval/{SECRET}", f"/track?{SECRET}"]
FAST = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

texts = st.text(max_size=12) | st.sampled_from(["\x00", "\ud800", "🙂", "0001-01-01T00:00:00Z", "9999-12-31", "NaN"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.just(10**400)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
NAMES = [
    "type",
    "messageId",
    "timestamp",
    "sentAt",
    "userId",
    "anonymousId",
    "event",
    "properties",
    "traits",
    "context",
    "previousId",
    "name",
    "batch",
    "writeKey",
    "targetingKey",
    "id",
    "consent",
    "attributes",
    "event_name",
    "properties_json",
    "device_id",
    "user_id",
    "hashAttribute",
    "experiment_id",
    "variation_id",
    "phase",
    "revenue",
    "currency",
    "products",
    "order_id",
    "product_id",
    "unit_type",
]
KINDS = ["track", "identify", "page", "alias", "group"]
messages = st.dictionaries(st.sampled_from(NAMES), values | st.sampled_from(["a", *KINDS]), max_size=10).map(
    lambda made: {"messageId": "m", "type": "track", "event": "Experiment Viewed", "anonymousId": "a"} | made
)
NASTY = [
    b"",
    b"{",
    b"\xff\xfe",
    b"[" * 20_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    b'{"batch":[{"type":"track","event":"x","anonymousId":"a","messageId":"n","properties":{"revenue":1e400}}]}',
    b'{"batch":[{"type":"track","event":"x","anonymousId":"a","messageId":"y","timestamp":"0001-01-01T00:00:00Z"}]}',
    b'{"batch":[{"type":"track","event":"x","anonymousId":"\\ud800","messageId":"s"}]}',
    b'{"batch":[{"type":"track","event":"x","anonymousId":"a\\u0000","messageId":"z"}]}',
    b'{"context":{"targetingKey":"\\ud800","consent":true}}',
    b'{"context":{"targetingKey":"a","consent":true,"age":1e400}}',
    b"9" * 5_000,
    b" " * 10_000_000,
    gzip.compress(b" " * 10_000_000),
]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    source = Source.objects.create(name="fuzz", kind="server", created_at=NOW)
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    WriteKey.objects.create(source=source, prefix="f", sha256=digest, scopes=["write", "decide"], created_at=NOW)
    rule = {"any": [{"attribute": "id", "op": "gt", "value": 3}, {"attribute": "name", "op": "contains", "value": "a"}]}
    make_experiment(status="running", unit_type="user_id", key="shown", targeting=rule)
    make_experiment(status="paused", unit_type="anonymous", key="paused")
    with tempfile.TemporaryDirectory() as made:
        here = collect.Collector(folder=Path(made), writer=SpoolWriter(Path(made)), keys=WriteKeys())
        monkeypatch.setattr(collect, "collector", lambda: here)
        monkeypatch.setattr(gate, "collector", lambda: here)
        yield Path(made)
        here.writer.close()


def send(path: str, raw: bytes, **environ: str) -> int:
    """Send bytes to a wire; return the status."""
    status: list[int] = []

    def start_response(line: str, _headers: list[tuple[str, str]]) -> None:
        status.append(int(line.split(maxsplit=1)[0]))

    path, _, key = path.partition("?")
    base: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "QUERY_STRING": f"client_key={key}",
        "CONTENT_LENGTH": str(len(raw)),
        "HTTP_AUTHORIZATION": "Basic ZnV6ejo=" if path.startswith("/v1") else f"Bearer {SECRET}",
        "wsgi.input": io.BytesIO(raw),
    }
    application = collect.collect if path.startswith("/v1") else Decide(ClientGate())
    b"".join(application(base | environ, start_response))
    return status[0]


def drained(folder: Path) -> None:
    """Everything that was taken in is an event or a dead letter; a failing drain raises."""
    drain(at=NOW, folder=folder)


def as_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/track", "/v1/identify", *DECISIONS])
@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_wire__nasty_bytes__are_refused_or_kept(folder: Path, path: str, encoding: str) -> None:
    for raw in NASTY:
        assert send(path, raw, HTTP_CONTENT_ENCODING=encoding) in {200, 400, 413}, raw[:80]
    drained(folder)


@FAST
@given(batch=st.lists(messages | values, max_size=4))
@example(
    batch=[{"type": "track", "messageId": "m", "event": "Experiment Viewed", "anonymousId": "a", "properties": []}]
)
def test_collect__any_messages__are_taken_in_and_drained(folder: Path, batch: list[Any]) -> None:
    before = Event.objects.count() + DeadLetter.objects.count()
    assert send("/v1/batch", as_bytes({"batch": batch})) == 200
    drained(folder)
    assert Event.objects.count() + DeadLetter.objects.count() <= before + len(batch)


@FAST
@given(
    context=st.dictionaries(st.sampled_from(NAMES) | texts, values, max_size=6) | values,
    path=st.sampled_from(DECISIONS),
)
def test_decide__any_context__has_an_answer(folder: Path, context: Any, path: str) -> None:
    for body in ({"context": context}, {"attributes": context}, [context], context):
        assert send(path, as_bytes(body)) in {200, 400}


@FAST
@given(raw=st.binary(max_size=200), path=st.sampled_from(["/v1/batch", "/v1/t", *DECISIONS]))
def test_wire__any_bytes__have_an_answer(folder: Path, raw: bytes, path: str) -> None:
    assert send(path, raw) in {200, 400}
