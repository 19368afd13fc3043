from __future__ import annotations

import re

import pytest
from django.db import DatabaseError
from django.template import Context, Template, TemplateSyntaxError

from recommender.models import Item
from recommender.services.serving import recommend
from tests.factories.campaigns import make_catalogue

pytestmark = pytest.mark.django_db


def render(text: str, **context: object) -> str:
    return Template("{% load holdout %}" + text).render(Context(context))


def test_campaign__in_a_page__is_a_slot_around_its_default() -> None:
    html = render("{% campaign slug %}<h2>{{ word }}</h2>{% endcampaign %}", slug="home-hero", word="New & old")
    assert 'hx-get="/c/home-hero/slot/"' in html
    assert 'hx-trigger="intersect once"' in html
    assert "<h2>New &amp; old</h2></div>" in html


def test_campaign__without_a_slug__is_an_error_of_the_template() -> None:
    with pytest.raises(TemplateSyntaxError, match="exactly one argument"):
        render("{% campaign %}x{% endcampaign %}")


def test_recommendations__for_a_stranger__lists_items_with_safe_links() -> None:
    make_catalogue(items=3)
    Item.objects.filter(item_id="item-1").update(url="javascript:alert(1)")
    html = render('{% recommendations "popularity" k=3 %}')
    assert len(re.findall(r"<li data-item=", html)) == 3
    assert re.search(r'data-recommendation="[0-9a-f-]{36}"', html)
    assert "javascript:" not in html
    assert 'href="/shop/item-1/"' in html


def test_recommendations__excluded_item__is_not_shown() -> None:
    make_catalogue(items=3)
    html = render('{% recommendations "popularity" user_id=7 k=3 exclude="item-1" %}')
    assert 'data-item="item-1"' not in html
    assert 'data-item="item-2"' in html


def test_recommendations__only_some_items__are_put_in_order_and_no_others_shown() -> None:
    make_catalogue(items=4)
    html = render('{% recommendations "popularity" only=found k=4 %}', found=["item-3", "item-2"])
    assert set(re.findall(r'data-item="([^"]+)"', html)) == {"item-2", "item-3"}
    assert render('{% recommendations "popularity" only=found %}', found=[]).strip() == ""


@pytest.mark.parametrize("basis", ["item-1", ["item-1", "item-2"]])
def test_recommendations__by_items__go_to_the_service_and_are_not_shown_themselves(
    basis: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_catalogue(items=4)
    asked: list[dict[str, object]] = []

    def recorded(**given: object) -> object:
        asked.append(given)
        return recommend(**given)  # type: ignore[arg-type]  # what the tag gave, as it is

    monkeypatch.setattr("marketing.templatetags.holdout.recommend", recorded)
    html = render('{% recommendations "item-knn" basis=basis k=2 %}', basis=basis)
    assert asked[0]["basis"] == ([basis] if isinstance(basis, str) else basis)
    assert asked[0]["only"] is None
    shown = re.findall(r'data-item="([^"]+)"', html)
    assert len(shown) == 2
    assert "item-1" not in shown


def test_recommendations__unknown_strategy_or_no_database__are_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert render('{% recommendations "nope" %}').strip() == ""

    def down(**_: object) -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr("marketing.templatetags.holdout.recommend", down)
    assert render('{% recommendations "popularity" %}').strip() == ""
