"""What several pages need of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import Http404, HttpRequest

from recommender.selectors import get_strategy

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from recommender.models import Strategy


def strategy_or_404(slug: str) -> Strategy:
    """The strategy with its current version."""
    strategy = get_strategy(slug=slug)
    if strategy is None:
        raise Http404
    return strategy


def actor_of(request: HttpRequest) -> User:
    """Who is signed in."""
    user = request.user
    assert user.is_authenticated  # the decorators let nobody else in
    return user
