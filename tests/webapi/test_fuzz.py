"""Schemathesis: requests made from the OpenAPI schema find no 500, no undocumented status, no body of another shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.factories.experiments import make_experiment
from tests.webapi.conftest import make_api

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore")]
CHECKS: Any = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
QUICK, LONG = 2, 25  # requests of each operation and mode


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """The requests share the test's connection and its transaction, as those of Django's own test client do."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def _operations() -> dict[str, Any]:
    load_all_checks()
    schema = schemathesis.openapi.from_wsgi("/api/v1/schema/", WSGIHandler())
    results: Any = schema.get_all_operations()
    return {operation.label: operation for operation in (result.ok() for result in results)}


def _known(path: str, profile: str) -> dict[str, str]:
    """Values of path parameters with which an address leads somewhere."""
    kind = path.split("/")[3]
    named = {"campaigns": "resume", "experiments": "resume"}.get(kind, "program")
    slug = "popularity" if kind == "strategies" else "matrix"
    key = "conversion" if kind == "metrics" else "matrix"
    return {
        "key": key, "slug": slug, "name": named, "public_id": profile, "table": "aggregates", "item_id": "item-1"
    }  # fmt: skip


def _ask(operation: Any, mode: Any, *, known: dict[str, str], secret: str, amount: int) -> None:
    """Ask one operation so often, half of the times for something that is there."""

    @settings(max_examples=amount, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), leads_somewhere=st.booleans())
    def asked(case: Any, leads_somewhere: bool) -> None:
        if leads_somewhere and case.path_parameters:
            case.path_parameters = {name: known.get(name, value) for name, value in case.path_parameters.items()}
        case.call_and_validate(checks=CHECKS, headers={"Authorization": f"Bearer {secret}"})

    asked()


def _run(profile: str, amount: int) -> list[str]:
    """Return what was found, by operation."""
    api, found = make_api(), []
    make_experiment(key="own", status="running")
    for label, operation in _operations().items():
        known = _known(operation.path, profile)
        for mode in schemathesis.GenerationMode:
            try:
                _ask(operation, mode, known=known, secret=api.secret, amount=amount)
            except Exception as error:  # noqa: BLE001 - collected, so that one run tells everything
                found.append(f"{label}, {mode}: {error}")
    return found


@pytest.mark.no_cover
def test_schema__fuzzed_a_little__holds(world: str) -> None:
    assert _run(world, QUICK) == []


@pytest.mark.slow
def test_schema__fuzzed_for_long__holds(world: str) -> None:
    assert _run(world, LONG) == []
