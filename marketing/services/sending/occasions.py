"""The occasions of sendings: the next time of a recurring campaign, and what a triggered one answers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from marketing.models import Campaign
from marketing.services.sending import occurrences, triggers

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Started:
    """Whom one look gave a message, by slug."""

    again: dict[str, int] = field(default_factory=dict)
    answered: dict[str, int] = field(default_factory=dict)


def start_due(*, at: datetime) -> Started:
    """Write the messages of every occasion that has come; two at once do no harm."""
    started = Started()
    for campaign in occurrences.recurring():
        with _apart(campaign):
            people = occurrences.hold(campaign=campaign, at=at)
            if people is not None:
                started.again[campaign.slug] = people
    for campaign in triggers.triggered():
        with _apart(campaign):
            people = triggers.answer(campaign=campaign, at=at)
            if people:
                started.answered[campaign.slug] = people
    return started


@contextmanager
def _apart(campaign: Campaign) -> Iterator[None]:
    """What one campaign raises is logged, keeps no other from its turn, and is tried again at the next look."""
    try:
        yield
    except Exception:
        logger.exception("the occasion of campaign %s is not written", campaign.slug)
