"""What strangers send: bodies, limits, the schema and its page."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.test import Client, override_settings
from rest_framework.test import APIRequestFactory

from config.ratelimit import limiter
from config.webapi.problems import handle
from config.webapi.schema import schema_of
from experiments.reports import ExperimentReport
from tests.webapi.conftest import API, Api, make_api

pytestmark = pytest.mark.django_db
BODY = '{"name": "x", "rule": {"a": %s}}'


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("", 400, "required"),
        ("{", 400, "not JSON"),
        ("[1]", 400, "Invalid data"),
        (BODY % "NaN", 400, "NaN is no JSON number"),
        (BODY % "1e400", 400, "1e400 is larger"),
        (BODY % '"\\u0000"', 400, "NUL"),
        (BODY % '"\\ud800"', 400, "surrogate"),
        (BODY % ("[" * 100_000 + "]" * 100_000), 400, "not JSON"),
        (BODY % ("9" * 5_000), 400, "not JSON"),
        (b"\xff", 400, "not UTF-8"),
        (BODY % f'"{"x" * 1_048_576}"', 413, "1048576 bytes"),
    ],
)
def test_body__that_no_store_can_hold__is_refused(api: Api, body: Any, status: int, said: str) -> None:
    client = Client(headers={"authorization": f"Bearer {api.secret}"})
    answer: Any = client.generic("POST", f"{API}segments/", body, "application/json")
    assert answer.status_code == status
    assert said in answer.json()["detail"]
    assert "\ud800" not in answer.content.decode()


def test_body__of_another_type__is_415(api: Api) -> None:
    client = Client(headers={"authorization": f"Bearer {api.secret}"})
    answer: Any = client.post(f"{API}segments/", {"name": "x"})
    assert (answer.status_code, answer.json()["type"]) == (415, "/api/v1/docs/#media-type")


@override_settings(RATE_LIMITS_ON=True)
def test_limit__of_a_key__is_429_with_the_time_to_wait(db: None) -> None:
    limiter().storage.reset()
    api = make_api(rate_limit=2)
    assert [api.get("segments/").status_code for _ in range(2)] == [200, 200]
    answer = api.get("segments/")
    assert (answer.status_code, answer["Content-Type"]) == (429, "application/problem+json")
    assert 1 <= int(answer["Retry-After"]) <= 60
    client = Client()
    client.force_login(api.user)
    assert client.get(f"{API}segments/").status_code == 200  # a person is counted apart from the key
    limiter().storage.reset()


def test_schema__asked_for_by_anybody__documents_every_error(client: Client) -> None:
    schema = client.get(f"{API}schema/").json()
    create = schema["paths"]["/api/v1/experiments/"]["post"]
    assert {"201", "400", "401", "403", "404", "405", "409", "413", "415", "422", "429"} == set(create["responses"])
    assert [one["name"] for one in create["parameters"]] == ["Idempotency-Key"]
    assert create["responses"]["422"]["content"].keys() == {"application/problem+json"}
    assert schema["components"]["schemas"]["DesignInRequest"]["additionalProperties"] is False
    assert len({one["operationId"] for path in schema["paths"].values() for one in path.values()}) == sum(
        len(path) for path in schema["paths"].values()
    )
    assert all(one.get("summary") for path in schema["paths"].values() for one in path.values())


def test_schema__of_the_report__is_that_of_its_dataclasses() -> None:
    verdict = schema_of(ExperimentReport)["properties"]["verdict"]
    assert verdict["properties"]["outcome"]["enum"] == ["ship", "stop", "continue", "undecided"]
    with pytest.raises(TypeError, match="no schema for"):
        schema_of(complex)


def test_documentation__asked_for_by_anybody__has_everything_and_no_script(client: Client) -> None:
    answer = client.get(f"{API}docs/")
    text = answer.content.decode()
    assert "POST /api/v1/experiments/" in text
    assert 'id="conflict"' in text
    assert "<style" not in text
    assert 'style="' not in text
    assert "onclick" not in text
    assert client.post(f"{API}docs/").status_code == 405


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [(PermissionDenied(), 403, "forbidden"), (RequestDataTooBig("Too much."), 413, "too-large")],
)
def test_handle__error_of_django__is_a_problem(error: Exception, status: int, slug: str) -> None:
    answer = handle(error, {"request": APIRequestFactory().get("/api/v1/x/")})
    assert answer is not None
    assert (answer.status_code, answer.data["type"]) == (status, f"/api/v1/docs/#{slug}")


def test_handle__bug__is_no_problem_of_the_callers() -> None:
    assert handle(ZeroDivisionError(), {"request": APIRequestFactory().get("/api/v1/x/")}) is None
