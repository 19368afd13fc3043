"""An events owner for the recommender's tests: a list of events in memory behind the real port."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from recommender.ports import ExposedArm, InteractionChunk, RecentEvent

Row = tuple[str, str, str, int]
"""user, item, event type, at."""


class FakeInteractions:
    """Satisfies `recommender.ports.Interactions`; chunks of three rows, so that chunking is real."""

    rows: ClassVar[list[Row]] = []
    error: ClassVar[Exception | None] = None
    calls: ClassVar[list[str]] = []
    arms: ClassVar[list[ExposedArm]] = []
    tokens: ClassVar[dict[str, Sequence[str]]] = {}

    def interactions(self, *, since: int | None, until: int, event_types: Sequence[str]) -> Iterator[InteractionChunk]:
        """Chunks of the rows in the window."""
        rows = [row for row in self.rows if (since is None or row[3] >= since) and row[3] < until]
        rows = [row for row in rows if row[2] in event_types]
        for first in range(0, len(rows), 3):
            part = rows[first : first + 3]
            yield InteractionChunk(
                user_id=np.array([row[0] for row in part]),
                item_id=np.array([row[1] for row in part]),
                event_type=np.array([row[2] for row in part]),
                at=np.array([row[3] for row in part], dtype=np.int64),
                value=np.full(len(part), np.nan),
            )

    def recent_items(self, *, user_id: str, event_types: Sequence[str], limit: int) -> Sequence[RecentEvent]:
        """Newest first."""
        self._called("recent_items")
        return self._recent(user_id, event_types, limit, None)

    def _recent(
        self, user_id: str, event_types: Sequence[str], limit: int, before: int | None
    ) -> Sequence[RecentEvent]:
        rows = [row for row in self.rows if row[0] == user_id and row[2] in event_types]
        rows = sorted((row for row in rows if before is None or row[3] < before), key=lambda row: -row[3])
        return [RecentEvent(item_id=row[1], event_type=row[2], at=row[3], value=None) for row in rows[:limit]]

    def recent_items_many(
        self, *, user_ids: Sequence[str], event_types: Sequence[str], limit: int, before: int | None = None
    ) -> dict[str, Sequence[RecentEvent]]:
        """One call."""
        self._called("recent_items_many")
        return {name: self._recent(name, event_types, limit, before) for name in user_ids}

    def sample_users(self, *, limit: int) -> Sequence[str]:
        """The last ones."""
        rows = sorted(self.rows, key=lambda row: -row[3])
        return list(dict.fromkeys(row[0] for row in rows))[:limit]

    def describe_users(self, *, user_ids: Sequence[str] | None = None) -> dict[str, Sequence[str]]:
        """What the test says."""
        self._called("describe_users")
        return {name: tokens for name, tokens in self.tokens.items() if user_ids is None or name in user_ids}

    def exposed_arms(self, *, until: int) -> Sequence[ExposedArm]:
        """What the test says."""
        return self.arms

    def seen_items(self, *, user_id: str, event_types: Sequence[str]) -> Sequence[str]:
        """Distinct items."""
        self._called("seen_items")
        return sorted({row[1] for row in self.rows if row[0] == user_id and row[2] in event_types})

    def _called(self, name: str) -> None:
        FakeInteractions.calls.append(name)
        if FakeInteractions.error is not None:
            raise FakeInteractions.error
