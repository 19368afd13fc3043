from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client

from config.signin import one_time_path
from marketing.services.setup import first_user

pytestmark = pytest.mark.django_db


def test_link__get__signs_nobody_in() -> None:
    client = Client()
    assert client.get(one_time_path(first_user())).status_code == 200
    assert "_auth_user_id" not in client.session


def test_link__post__signs_in_once() -> None:
    path = one_time_path(first_user())
    client = Client()
    assert client.post(path).status_code == 302
    assert client.session["_auth_user_id"] == str(first_user().pk)
    assert Client().post(path).status_code == 410


@pytest.mark.parametrize("path", ["/accounts/one-time/MQ/wrong-token/", "/accounts/one-time/%F0%9F%98%80/x/"])
def test_link__tampered__is_gone(path: str) -> None:
    first_user()
    assert Client().post(path).status_code == 410


def test_first_user__made_without_a_password_and_only_once() -> None:
    user = first_user()
    assert not user.has_usable_password()
    assert first_user() == user
    assert User.objects.count() == 1
