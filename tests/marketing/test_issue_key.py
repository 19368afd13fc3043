from __future__ import annotations

import hashlib
from io import StringIO

import pytest
from django.core.management import call_command

from marketing.models import Source, WriteKey

pytestmark = pytest.mark.django_db


def issue(*arguments: str) -> str:
    out = StringIO()
    call_command("issue_key", *arguments, stdout=out)
    return out.getvalue().strip()


def test_issue_key__browser_key__has_what_was_asked_for() -> None:
    secret = issue("shop", "--kind", "browser", "--scope", "write", "--scope", "decide", "--rate-limit", "600")
    key = WriteKey.objects.get()
    assert key.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert (key.source.name, key.source.kind) == ("shop", "browser")
    assert (key.scopes, key.rate_limit) == (["write", "decide"], 600)


def test_issue_key__twice__is_one_source_with_two_keys() -> None:
    assert issue("shop") != issue("shop")
    assert Source.objects.count() == 1
    assert [key.scopes for key in WriteKey.objects.all()] == [["write"], ["write"]]
