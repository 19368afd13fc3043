"""For Django shops in the same project: `{% campaign %}` and `{% recommendations %}` (docs/clients.md)."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from django import template
from django.db import DatabaseError
from django.template import Context, Node, NodeList
from django.template.base import FilterExpression, Parser, Token
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from marketing.services.campaigns import is_safe_target
from recommender.errors import RecommenderError
from recommender.reports import SlateItem
from recommender.services.serving import recommend

register = template.Library()
log = logging.getLogger(__name__)


class CampaignNode(Node):
    """The slot of a campaign: its content shows until the slot is in view; then arm, exposure and content come."""

    def __init__(self, slug: FilterExpression, content: NodeList) -> None:
        self.slug = slug
        self.content = content

    def render(self, context: Context) -> str:
        values = {"slug": self.slug.resolve(context), "content": self.content.render(context)}
        return render_to_string("marketing/tags/campaign.html", values)


@register.tag
def campaign(parser: Parser, token: Token) -> CampaignNode:
    """`{% campaign "home-hero" %}default content{% endcampaign %}`; the page loads htmx."""
    parts = token.split_contents()
    if len(parts) != 2:
        raise template.TemplateSyntaxError("campaign needs exactly one argument: the campaign's slug")
    content = parser.parse(("endcampaign",))
    parser.delete_first_token()
    return CampaignNode(parser.compile_filter(parts[1]), content)


@register.inclusion_tag("marketing/tags/recommendations.html")
def recommendations(
    strategy: str, user_id: object = "", k: int = 4, exclude: object = "", *, basis: object = "", only: object = None
) -> dict[str, Any]:
    """`{% recommendations "popularity" user_id=profile.pk k=4 exclude=item.item_id %}`; nothing where there are none.

    `user_id` is the profile's number, and only of somebody who consented to personalization; empty for a stranger.
    `basis` are items to go by instead of a history: one item for similar ones, a basket, a session. `only` are items
    to put in order, and no others are shown; of an empty list nothing. Each of the three is an item's id or a list.
    """
    only_ids = None if only is None else _ids(only)
    if only_ids == []:
        return {}
    try:
        made = recommend(
            user_id=str(user_id or ""),
            k=k,
            strategy=strategy,
            context={},
            exclude=_ids(exclude),
            basis=_ids(basis),
            only=only_ids,
            at=timezone.now(),
        )
    except (RecommenderError, DatabaseError):
        log.exception("no recommendations: the page shows without them", extra={"strategy": strategy})
        return {}
    return {"recommendation": made, "shown": [(item, _address(item)) for item in made.items]}


def _ids(given: object) -> list[str]:
    """One id or several, as a template has them; what a page lacks is empty there."""
    if isinstance(given, str):
        return [given] if given else []
    return [str(one) for one in given] if isinstance(given, Iterable) else []


def _address(item: SlateItem) -> str:
    return item.url if is_safe_target(item.url) else reverse("marketing:shop-item", args=[item.item_id])
