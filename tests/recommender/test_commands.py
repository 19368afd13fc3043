from __future__ import annotations

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from recommender.models import ModelVersion, Slate
from tests.recommender.fakes import FakeInteractions


def _call(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_train__no_slug__all_that_are_due(shop: None) -> None:
    lines = _call("train").splitlines()
    assert [line.split(":")[0] for line in lines] == ["popularity", "trending", "item-knn", "user-knn", "content"]
    assert all("Published" in line and "NDCG@10" in line for line in lines)
    assert _call("train") == ""


def test_train__named_and_seeded__that_one(shop: None) -> None:
    _call("train", "item-knn", "--seed", "4")
    assert ModelVersion.objects.get().seed == 4


def test_train__few_events__says_not_judged(shop: None) -> None:
    FakeInteractions.rows = FakeInteractions.rows[:3]
    assert "not judged" in _call("train", "popularity")


def test_train__no_events__no_failure_unless_named(shop: None) -> None:
    FakeInteractions.rows = []
    text = _call("train")
    assert text.count("not enough data yet") == 5
    assert "import events and consents" in text
    with pytest.raises(CommandError, match="not trained: popularity"):
        _call("train", "popularity")


def test_train__one_fails__others_are_trained_and_status_is_1(shop: None) -> None:
    with pytest.raises(CommandError, match="not trained: nonsense"):
        _call("train", "nonsense", "popularity")
    assert ModelVersion.objects.count() == 1


def test_recommend__table__titles_reasons_and_fallback(trained_shop: None) -> None:
    text = _call("recommend", "--user", "u0", "--strategy", "item-knn", "-k", "19")
    assert "Because you looked at Thing 0" in text
    assert "fallback: too_few_items" in text
    assert not Slate.objects.exists()


def test_recommend__json_and_log__one_object_and_one_slate(trained_shop: None) -> None:
    answer = json.loads(_call("recommend", "--user", "u0", "-k", "2", "--format", "json", "--log"))
    assert len(answer["items"]) == 2
    assert answer["fallback"] == ""
    assert Slate.objects.count() == 1


@pytest.mark.parametrize("words", [["--strategy", "nonsense"], ["-k", "0"]])
def test_recommend__bad_input__named(shop: None, words: list[str]) -> None:
    with pytest.raises(CommandError):
        _call("recommend", "--user", "u0", *words)
