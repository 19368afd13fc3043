"""A client of the management API with a key, and one of each thing that it can name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from marketing.choices import SourceKind
from marketing.services.sources import ensure_source, issue_key
from tests.factories.campaigns import make_campaign, make_catalogue, make_user
from tests.factories.marketing import NOW, make_profile, make_segment

API = "/api/v1/"


@dataclass
class Api:
    """Requests with a key of `user`."""

    user: User
    secret: str

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        client = Client(headers={"authorization": f"Bearer {self.secret}", **headers})
        address = path if path.startswith("http") else API + path
        if body is None:
            return client.generic(method, address)
        return client.generic(method, address, json.dumps(body), "application/json")

    def get(self, path: str, **headers: str) -> Any:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.ask("POST", path, body, **headers)

    def patch(self, path: str, body: Any = None) -> Any:
        return self.ask("PATCH", path, body)


def make_api(*, scope: str = "manage", role: str = "", rate_limit: int | None = None) -> Api:
    """A key that acts for somebody with the role; without one, for somebody who may do everything."""
    user = make_user(role=role) if role else User.objects.create_superuser(f"root-{User.objects.count()}")
    source = ensure_source(name="program", kind=SourceKind.SERVER, at=NOW)
    _, secret = issue_key(source=source, scopes=[scope], at=NOW, acts_for=user, rate_limit=rate_limit)
    return Api(user, secret)


@pytest.fixture
def api(db: None) -> Api:
    return make_api()


@pytest.fixture
def world(db: None) -> str:
    """One of each thing that an address can name; returns the profile's public id."""
    make_catalogue()
    make_campaign(status="running", slug="matrix")
    make_segment({"all": []}, slug="matrix")
    return str(make_profile(user_id="matrix").public_id)
