"""What the recommender needs from whoever owns the events.

`settings.RECOMMENDER_INTERACTIONS` names a class (dotted path, built without arguments) that satisfies `Interactions`.
Users and items are opaque strings here; times are int64 microseconds since the epoch, UTC; upper bounds are exclusive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class InteractionChunk:
    """Columns of equal length: one row per event that has a user and an item."""

    user_id: NDArray[np.str_]
    item_id: NDArray[np.str_]
    event_type: NDArray[np.str_]
    at: NDArray[np.int64]
    value: NDArray[np.float64]
    """The event's own number (a rating, an order value in units); NaN where it has none."""


@dataclass(frozen=True, slots=True)
class RecentEvent:
    """One event of one user, as the serving path reads it."""

    item_id: str
    event_type: str
    at: int
    value: float | None


@dataclass(frozen=True, slots=True)
class ExposedArm:
    """Users of one arm of a running experiment, with the moment from which it acted on them. Columns by user id."""

    experiment: str
    arm: str
    is_control: bool
    user_id: NDArray[np.str_]
    """Sorted."""
    first_at: NDArray[np.int64]


class Interactions(Protocol):
    """The events with an item, seen by the recommender."""

    def interactions(self, *, since: int | None, until: int, event_types: Sequence[str]) -> Iterator[InteractionChunk]:
        """All events of these types in [since, until), in bounded chunks (at most about 200,000 rows each), any order.

        Only people whose events may be used for personalization are in it: that is the owner's business.
        """

    def recent_items(self, *, user_id: str, event_types: Sequence[str], limit: int) -> Sequence[RecentEvent]:
        """The newest `limit` events of one user, newest first; empty for an unknown user. One query."""

    def recent_items_many(
        self, *, user_ids: Sequence[str], event_types: Sequence[str], limit: int, before: int | None = None
    ) -> Mapping[str, Sequence[RecentEvent]]:
        """`recent_items` of many users (some hundred) at once, of events before a time if one is given. One query.

        Users without events may be missing.
        """

    def sample_users(self, *, limit: int) -> Sequence[str]:
        """A few users who did something and agreed to personalization: for looking at slates."""

    def describe_users(self, *, user_ids: Sequence[str] | None = None) -> Mapping[str, Sequence[str]]:
        """What is known of people besides their events, as tokens (`segment=vip`): of everybody, or of these. Of these
        one query, as a rule.

        Only what may be learnt from, of people whose data may be used for personalization: that is the owner's
        business. Others may be missing.
        """

    def exposed_arms(self, *, until: int) -> Sequence[ExposedArm]:
        """Who met which arm of the experiments that run at `until`; empty where there are none."""

    def seen_items(self, *, user_id: str, event_types: Sequence[str]) -> Sequence[str]:
        """Every distinct item of one user with an event of these types, however old. One query."""
