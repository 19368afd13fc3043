"""The occasions of sendings: the next time of a recurring campaign, and what a triggered one answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from marketing.services.sending import occurrences, triggers


@dataclass(slots=True)
class Started:
    """Whom one look gave a message, by slug."""

    again: dict[str, int] = field(default_factory=dict)
    answered: dict[str, int] = field(default_factory=dict)


def start_due(*, at: datetime) -> Started:
    """Write the messages of every occasion that has come; two at once do no harm."""
    started = Started()
    for campaign in occurrences.recurring():
        people = occurrences.hold(campaign=campaign, at=at)
        if people is not None:
            started.again[campaign.slug] = people
    for campaign in triggers.triggered():
        people = triggers.answer(campaign=campaign, at=at)
        if people:
            started.answered[campaign.slug] = people
    return started
