from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client, RequestFactory
from limits import parse
from pytest_django.fixtures import Settings

from config import ratelimit

pytestmark = pytest.mark.django_db


@pytest.fixture
def limited(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    settings.RATE_LIMITS_ON = True
    settings.RATE_LIMIT_STORAGE = "memory://"
    monkeypatch.setattr(ratelimit, "RULES", (("POST", "/accounts/", parse("2/minute")),))
    ratelimit.limiter.cache_clear()
    yield
    ratelimit.limiter.cache_clear()


def test_sign_in__above_the_limit__is_429_with_retry_after(limited: None) -> None:
    client = Client()
    codes = [client.post("/accounts/login/", {"username": "x", "password": "y"}).status_code for _ in range(2)]
    answer = client.post("/accounts/login/", {"username": "x", "password": "y"})
    assert codes == [200, 200]
    assert answer.status_code == 429
    assert 1 <= int(answer["Retry-After"]) <= 60


def test_sign_in__reading_the_form__is_not_counted(limited: None) -> None:
    client = Client()
    assert [client.get("/accounts/login/").status_code for _ in range(4)] == [200] * 4


def test_limit__another_address__has_its_own(limited: None) -> None:
    for _ in range(3):
        Client(REMOTE_ADDR="10.0.0.1").post("/accounts/login/", {})
    assert Client(REMOTE_ADDR="10.0.0.2").post("/accounts/login/", {}).status_code == 200


def test_limit__behind_a_proxy__counts_by_the_address_that_the_proxy_added(limited: None, settings: Settings) -> None:
    settings.BEHIND_TLS_PROXY = True
    for number in range(3):  # what a client writes itself into the header stands in front, and changes nothing
        forged = f"192.0.2.{number}, 198.51.100.7"
        code = Client(REMOTE_ADDR="127.0.0.1", headers={"X-Forwarded-For": forged}).post("/accounts/login/").status_code
    assert code == 429
    other = Client(REMOTE_ADDR="127.0.0.1", headers={"X-Forwarded-For": "198.51.100.8"})
    assert other.post("/accounts/login/").status_code == 200


def test_limit__no_proxy__ignores_the_header(limited: None, settings: Settings) -> None:
    settings.BEHIND_TLS_PROXY = False
    codes = [
        Client(headers={"X-Forwarded-For": f"192.0.2.{number}"}).post("/accounts/login/").status_code
        for number in range(3)
    ]
    assert codes == [200, 200, 429]


@pytest.mark.parametrize("path", ["/me/link/", "/me/some-token/", "/me/confirm/some-token/"])
def test_rules__posts_that_may_write_to_somebody__ten_a_minute(path: str) -> None:
    for method, limit in (("POST", "10 per 1 minute"), ("GET", "120 per 1 minute")):
        rule = ratelimit.rule_for(RequestFactory().generic(method, path))
        assert rule is not None
        assert str(rule[1]) == limit
