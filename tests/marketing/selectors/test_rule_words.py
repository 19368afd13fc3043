"""Rules in words."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from marketing.choices import TraitType
from marketing.segmentation.vocabulary import Kind
from marketing.selectors.rule_words import Sentence, describe, show_value
from marketing.services.profiles import declare_trait
from tests.factories.marketing import NOW, make_segment

pytestmark = pytest.mark.django_db


def said(root: Any) -> str:
    with translation.override("en"):
        return describe({"schema": 1, "root": root}).text


EVENT = {"event": "Order Completed", "op": "gte", "n": 2}


@pytest.mark.parametrize(
    ("root", "words"),
    [
        ({"all": []}, "everybody"),
        ({"any": []}, "nobody"),
        ({"all": [EVENT]}, "all of these are true"),
        ({"any": [EVENT]}, "at least one of these is true"),
        ({"not": EVENT}, "this is not true"),
        ({"trait": "country", "op": "in", "value": ["DE", "AT"]}, "country is one of DE, AT"),
        ({"trait": "country", "op": "is_set"}, "country is known"),
        ({"trait": "birth_year", "op": "gte", "value": 1980}, "year of birth is at least 1980"),
        ({"trait": "revenue", "op": "gt", "value": 100}, "revenue is more than 100 EUR"),
        ({"trait": "marketing_ok", "op": "eq", "value": True}, "agreed to marketing e-mail: yes"),
        ({"trait": "marketing_ok", "op": "ne", "value": True}, "agreed to marketing e-mail: no"),
        ({"trait": "last_seen_at", "op": "within_days", "value": 7}, "last seen within the last 7 days"),
        ({"trait": "last_seen_at", "op": "not_within_days", "value": 7}, "last seen more than 7 days ago"),
        ({"trait": "plan", "op": "eq", "value": "pro"}, "Tariff is pro"),
        ({"trait": "gone", "op": "eq", "value": 1}, "gone is 1"),
        (EVENT, "did Order Completed at least 2 times"),
        ({**EVENT, "n": 1, "days": 30}, "did Order Completed at least 1 time in the last 30 days"),
        ({**EVENT, "op": "eq", "n": 0}, "never did Order Completed"),
        ({**EVENT, "measure": "sum"}, "the values of Order Completed add up to at least 2 EUR"),
        (
            {**EVENT, "where": [{"property": "color", "op": "in", "value": ["blue", "red"]}]},
            "did Order Completed at least 2 times (color is one of blue, red)",
        ),
        ({"in_segment": "big"}, "is in the segment Big spenders"),
        ({"in_segment": "gone"}, "is in the segment gone"),
        ({"consent": "profiling"}, "agreed to profiling"),
        ({"consent": "gone"}, "agreed to gone"),
        ({"sample": {"salt": "spring", "percent": 2.5}}, "is in the random 2.5 % named “spring”"),
    ],
)
def test_describe__node__is_a_sentence(root: Any, words: str) -> None:
    declare_trait(key="plan", name="Tariff", type_=TraitType.TEXT)
    segment = make_segment({"all": []}, slug="big")
    segment.name = "Big spenders"
    segment.save(update_fields=["name"])

    assert said(root) == words


def test_describe__nested_rule__has_its_parts() -> None:
    with translation.override("en"):
        sentence = describe({"schema": 1, "root": {"all": [EVENT, {"not": EVENT}]}})

    did = Sentence("did Order Completed at least 2 times")
    assert sentence.parts == (did, Sentence("this is not true", (did,)))


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (1.0, Kind.BOOLEAN, "yes"),
        (0.0, Kind.BOOLEAN, "no"),
        (10.0, Kind.DATE, "Jan. 11, 1970"),
        (int(NOW.timestamp() * 1_000_000), Kind.MOMENT, "Nov. 24, 2026, noon"),
        (12_500_000, Kind.MONEY, "12.5 EUR"),
        (2.5, Kind.NUMBER, "2.5"),
        ("x", Kind.TEXT, "x"),
    ],
)
def test_show_value__stored_value__is_readable(value: Any, kind: Kind, text: str) -> None:
    with translation.override("en"):
        assert show_value(value, kind) == text
