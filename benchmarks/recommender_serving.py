"""Serving in one process: what rules cost, what storing a slate costs, what failures cost, and slates made ahead.

`PYTHONPATH=. python benchmarks/recommender_serving.py [--items 10000]`. Own database and model files in a temporary
folder; histories come from memory, so that the figures are the recommender's. All kinds are asked in turn, person by
person, so that a busy machine slows each of them alike.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar

import django
import numpy as np

PEOPLE = 20_000
PER_PERSON = 20
ASKED = 400
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
NOW_US = int(NOW.timestamp() * 1_000_000)


class Memory:
    """Events of everybody as one array: person i has row i."""

    chosen: ClassVar[np.ndarray]
    delay: ClassVar[float] = 0.0

    def interactions(self, *, since: int | None, until: int, event_types: Sequence[str]) -> Iterator[object]:
        """All of them."""
        from recommender.ports import InteractionChunk

        people = np.repeat(np.arange(PEOPLE), PER_PERSON)
        n = people.size
        yield InteractionChunk(
            user_id=people.astype(np.str_),
            item_id=np.char.add("i", self.chosen.ravel().astype(np.str_)),
            event_type=np.full(n, "Product Viewed"),
            at=NOW_US - n + np.arange(n),
            value=np.full(n, np.nan),
        )

    def recent_items(self, *, user_id: str, event_types: Sequence[str], limit: int) -> Sequence[object]:
        """One person's, newest first."""
        from recommender.ports import RecentEvent

        if self.delay:
            time.sleep(self.delay)
        row = self.chosen[int(user_id)][::-1][:limit]
        return [RecentEvent(f"i{item}", "Product Viewed", NOW_US - place, None) for place, item in enumerate(row)]

    def recent_items_many(
        self, *, user_ids: Sequence[str], event_types: Sequence[str], limit: int, before: int | None = None
    ) -> Mapping[str, Sequence[object]]:
        """Many people's."""
        return {
            user_id: self.recent_items(user_id=user_id, event_types=event_types, limit=limit) for user_id in user_ids
        }

    def seen_items(self, *, user_id: str, event_types: Sequence[str]) -> Sequence[str]:
        """Distinct items."""
        return [f"i{item}" for item in self.chosen[int(user_id)]]

    def sample_users(self, *, limit: int) -> Sequence[str]:
        """The first ones."""
        return [str(person) for person in range(limit)]

    def describe_users(self, *, user_ids: Sequence[str] | None = None) -> Mapping[str, Sequence[str]]:
        """Nothing is known."""
        return {}

    def exposed_arms(self, *, until: int) -> Sequence[object]:
        """No experiment."""
        return ()


def _shop(items: int) -> None:
    from django.core.management import call_command

    from recommender.services.catalogue import ItemRow, upsert_items
    from recommender.services.strategies import ensure_default_strategies
    from recommender.services.training import train

    call_command("migrate", verbosity=0)
    rng = np.random.default_rng(0)
    taste = np.arange(PEOPLE)[:, None] % 50
    rank = (rng.random((PEOPLE, PER_PERSON)) ** 3 * (items // 50)).astype(int)
    Memory.chosen = (rank * 50 + taste) % items
    rows = (
        ItemRow(item_id=f"i{n}", title=f"Item {n}", category=f"Shelf {n % 50}", brand=f"B{n % 9}", tags=(f"t{n % 31}",))
        for n in range(items)
    )
    upsert_items(items=rows, at=NOW)
    ensure_default_strategies(at=NOW)
    train(slug="popularity", at=NOW)
    train(slug="item-knn", at=NOW)


def _kinds() -> dict[str, Callable[[str], object]]:
    """Plans with the same model and different rules."""
    from recommender.registry import build
    from recommender.services.filters import Filters
    from recommender.services.rules import Rules
    from recommender.services.serving import recommend_by
    from recommender.services.snapshots import draft_plan

    def ask(rules: Rules, filters: Filters, number: int) -> Callable[[str], object]:
        from dataclasses import replace

        draft = draft_plan(
            slug="item-knn",
            algorithm="item-knn",
            parameters=build("item-knn", {}).parameters,
            filters=filters,
            rules=rules,
            fallbacks=("popularity",),
        )
        plan = replace(draft, version_id=1_000_000 + number)  # what a stored version is: its masks are remembered
        return lambda user_id: recommend_by(plan=plan, user_id=user_id, k=10, at=NOW, budget_ms=1_000)

    designs = {
        "plain": (Rules(), Filters()),
        "plain again": (Rules(), Filters()),
        "damping": (Rules(damping_percent=30), Filters()),
        "variety (MMR)": (Rules(diversity_percent=30), Filters()),
        "damping and variety": (Rules(damping_percent=30, diversity_percent=30), Filters()),
        "at most 3 a category": (Rules(), Filters(max_per_category=3)),
        "boost, bury, promote": (
            Rules(boosted=("tag=t1",), buried=("tag=t2",), promoted=("tag=t3",), promoted_percent=20),
            Filters(exclude_tags=("t4",), blocked=("i5",)),
        ),
        "exploring (softmax)": (Rules(explore="softmax"), Filters()),
    }
    return {name: ask(*design, number) for number, (name, design) in enumerate(designs.items())}


def _speed() -> None:
    kinds = _kinds()
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    for person in range(ASKED):
        for name, ask in kinds.items():
            started, cpu = time.perf_counter(), time.process_time()
            ask(str(person))
            took[name].append((time.perf_counter() - started, time.process_time() - cpu))
    base = statistics.median(cpu for _, cpu in took["plain"][20:]) * 1_000
    print(f"{'a slate of 10':24} {'p50 ms':>8} {'p99 ms':>8} {'CPU p50':>8} {'− plain':>8}")
    for name, values in took.items():
        p50, p99 = np.quantile([wall for wall, _ in values[20:]], (0.5, 0.99)) * 1_000
        cpu = statistics.median(cpu for _, cpu in values[20:]) * 1_000
        print(f"{name:24} {p50:8.3f} {p99:8.3f} {cpu:8.3f} {cpu - base:+8.3f}")


def _storing() -> None:
    from recommender.services.serving import recommend

    took: dict[bool, list[float]] = {True: [], False: []}
    for person in range(ASKED):
        for log in (False, True):
            started = time.perf_counter()
            recommend(user_id=str(person), k=10, strategy="item-knn", context={}, at=NOW, log=log)
            took[log].append((time.perf_counter() - started) * 1_000)
    for log, values in took.items():
        p50, p99 = np.quantile(values[20:], (0.5, 0.99))
        print(f"{'stored' if log else 'not stored':24} {p50:8.3f} {p99:8.3f}")


def _failures() -> None:
    from recommender.algorithms.item_knn import ItemKNN
    from recommender.models import ModelVersion
    from recommender.services import snapshots
    from recommender.services.artefacts import models_folder
    from recommender.services.serving import recommend

    def worst(label: str, times: int = 30) -> None:
        values, reasons = [], set()
        for person in range(times):
            started = time.perf_counter()
            answer = recommend(user_id=str(person), k=10, strategy="item-knn", context={}, at=NOW)
            values.append((time.perf_counter() - started) * 1_000)
            reasons.add(f"{answer.fallback}: {answer.fallback_reason}, {len(answer.items)} items")
        print(f"{label:24} p50 {statistics.median(values):7.2f}  worst {max(values):7.2f} ms  {sorted(reasons)}")

    worst("healthy")
    Memory.delay = 1.0
    worst("histories take 1 s", times=15)
    Memory.delay = 0.0
    time.sleep(5)
    score = ItemKNN.score

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    ItemKNN.score = fail  # type: ignore[assignment]  # the failure that is measured
    worst("the algorithm raises")
    ItemKNN.score = score  # type: ignore[method-assign]  # put in by the benchmark
    read = snapshots._read_plan

    def slow(*arguments: object) -> object:
        time.sleep(1.0)
        return read(*arguments)  # type: ignore[arg-type]  # handed through

    snapshots._read_plan = slow  # type: ignore[assignment]  # put in by the benchmark
    snapshots.MAX_AGE = 0.0
    worst("plans take 1 s", times=15)
    snapshots._read_plan, snapshots.MAX_AGE = read, 2.0
    time.sleep(3)
    (models_folder() / ModelVersion.objects.get(strategy__slug="item-knn").path).unlink()
    snapshots.forget_snapshots()
    recommend(user_id="", k=1, strategy="popularity", context={}, at=NOW, log=False)
    worst("the model file is gone")


def _batches() -> None:
    from recommender.models import PreparedSlate
    from recommender.services.prepared import prepare_slates, take_slates

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu = time.process_time()
    made = prepare_slates(
        batch="b", user_ids=(str(person) for person in range(10_000)), k=4, strategy="item-knn", context={}, at=NOW
    )
    cpu = time.process_time() - cpu
    taken = time.process_time()
    for first in range(0, 10_000, 500):
        take_slates(batch="b", user_ids=[str(person) for person in range(first, first + 500)], at=NOW)
    taken = time.process_time() - taken
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"prepared {made / cpu:,.0f} and taken {made / taken:,.0f} slates per CPU second, {grown:+.0f} MB peak")
    assert not PreparedSlate.objects.exists()


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"HOLDOUT_DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "config.settings"}
        os.environ.pop("DATABASE_URL", None)
        django.setup()
        from django.conf import settings

        sys.modules.setdefault("recommender_serving", sys.modules["__main__"])
        settings.RECOMMENDER_INTERACTIONS = "recommender_serving.Memory"
        _shop(arguments.items)
        _speed()
        _storing()
        _batches()
        _failures()


if __name__ == "__main__":
    main()
