from __future__ import annotations

import hashlib
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from marketing.models import Source, WriteKey
from tests.factories.campaigns import make_user

pytestmark = pytest.mark.django_db


def issue(*arguments: str) -> str:
    out = StringIO()
    call_command("issue_key", *arguments, stdout=out)
    return out.getvalue().strip()


def test_issue_key__browser_key__has_what_was_asked_for() -> None:
    secret = issue(
        "shop", "--kind", "browser", "--scope", "write", "--scope", "decide", "--rate-limit", "600", "--quota", "9000"
    )
    key = WriteKey.objects.get()
    assert key.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert (key.source.name, key.source.kind) == ("shop", "browser")
    assert (key.scopes, key.rate_limit, key.quota) == (["write", "decide"], 600, 9000)


def test_issue_key__twice__is_one_source_with_two_keys() -> None:
    assert issue("shop") != issue("shop")
    assert Source.objects.count() == 1
    assert [key.scopes for key in WriteKey.objects.all()] == [["write"], ["write"]]


def test_issue_key__of_the_management_api__acts_for_the_named_person() -> None:
    user = make_user(role="analyst")
    issue("notebook", "--scope", "read", "--acts-for", user.username)
    assert WriteKey.objects.get().acts_for == user


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--acts-for", "nobody"], "There is no user 'nobody'"), ([], "acts for a person")],
)
def test_issue_key__of_the_management_api_for_nobody__is_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        issue("notebook", "--scope", "manage", *arguments)
