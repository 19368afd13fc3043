"""Training: events in, an immutable, judged and stored model out. Never inside a request."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from django.db.models import Q

from recommender.choices import ModelStatus
from recommender.dataset import MICROSECONDS_PER_DAY, Dataset
from recommender.errors import CannotTrain, NotEnoughData, TrainingInProgress, UnknownStrategy
from recommender.models import ModelVersion, Strategy, StrategyVersion
from recommender.registry import build
from recommender.services.artefacts import write_model
from recommender.services.catalogue import set_popularity
from recommender.services.evaluation import Judged, judge, limited, split_dataset
from recommender.services.evaluation_report import build_report
from recommender.services.publishing import publish_model, reject_model
from recommender.services.training_data import fingerprint, load_data

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from recommender.algorithms.base import Algorithm, Arrays

LEASE = timedelta(hours=2)
"""Longer than any training we allow (Celery's hard limit is half an hour); it frees what a killed process held."""

NO_EVENTS = "no event with an item from people who agreed to personalization; import events and consents, or wait"

MAX_JUDGED = 2_000
"""People asked in the evaluation of a training: a standard error of NDCG near 0.005, in seconds."""

COLLAPSED_COVERAGE = 0.5
"""A model that recommends less than half of what the current one covers is not published by itself."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Comparison:
    ok: bool
    message: str


def train(
    *,
    slug: str,
    at: datetime,
    version: int | None = None,
    seed: int = 0,
    actor: User | None = None,
    progress: Progress | None = None,
) -> ModelVersion:
    """Trains a version (the current one) and publishes the model unless it is worse than the one that serves.

    Raises `UnknownStrategy`, `TrainingInProgress`, or `CannotTrain` (then a failed `ModelVersion` says why).
    """
    strategy = Strategy.objects.select_related("current_version").filter(slug=slug).first()
    if strategy is None or strategy.current_version is None:
        raise UnknownStrategy(f"no strategy has the slug {slug!r}")
    wanted = strategy.current_version if version is None else strategy.versions.filter(number=version).first()
    if wanted is None:
        raise UnknownStrategy(f"the strategy {slug!r} has no version {version}")
    token = _take_lease(strategy, at)
    try:
        return _train(strategy, wanted, at=at, seed=seed, actor=actor, say=progress or _silent)
    finally:
        Strategy.objects.filter(pk=strategy.pk, lease_token=token).update(lease_token="", lease_until=None)


def _silent(_step: str) -> None:
    """No progress wanted."""


def _take_lease(strategy: Strategy, at: datetime) -> str:
    token = str(uuid4())
    free = Q(lease_until__isnull=True) | Q(lease_until__lte=at)
    if not Strategy.objects.filter(free, pk=strategy.pk).update(lease_token=token, lease_until=at + LEASE):
        raise TrainingInProgress(f"the strategy {strategy.slug!r} is being trained already")
    strategy.models.filter(status=ModelStatus.TRAINING).update(
        status=ModelStatus.FAILED, message="the process that trained it has ended"
    )
    return token


def _train(
    strategy: Strategy, version: StrategyVersion, *, at: datetime, seed: int, actor: User | None, say: Progress
) -> ModelVersion:
    started = time.perf_counter()
    until = int(at.timestamp() * 1_000_000)
    since = until - version.window_days * MICROSECONDS_PER_DAY if version.window_days else None
    model = ModelVersion.objects.create(
        strategy=strategy, strategy_version=version, since=since, until=until, seed=seed, started_at=at
    )
    try:
        say("read events")
        algorithm = build(version.algorithm, version.parameters)
        data = load_data(
            since=since,
            until=until,
            leave_out_treated=version.leave_out_treated,
            with_people=algorithm.capabilities.user_tokens,
        )
        dataset = data.dataset
        ModelVersion.objects.filter(pk=model.pk).update(arms=data.describe_arms(left_out=version.leave_out_treated))
        if dataset.n_interactions == 0:
            raise NotEnoughData(NO_EVENTS)  # noqa: TRY301 recorded below like any other failure
        say("judge on the last fifth")
        metrics, report = _judge(algorithm, dataset, seed=seed)
        say("fit on everything")
        arrays = algorithm.fit(dataset, rng=np.random.default_rng(seed))
        say("store")
        _store(model, algorithm, dataset, arrays, metrics=metrics, report=report, at=at, started=started)
    except Exception as error:  # the border to plug-ins: whatever they raise is recorded, then named
        ModelVersion.objects.filter(pk=model.pk).update(
            status=ModelStatus.FAILED, message=str(error) or type(error).__name__, duration_ms=_elapsed_ms(started)
        )
        if isinstance(error, CannotTrain):
            raise
        raise CannotTrain(f"{strategy.slug}: {error}") from error
    say("publish")
    verdict = _compare(model, _serving(version))
    if verdict.ok:
        publish_model(model_id=model.pk, at=at, actor=actor, message=verdict.message)
    else:
        reject_model(model_id=model.pk, at=at, actor=actor, message=verdict.message)
    _store_popularity(dataset, at)
    model.refresh_from_db()
    return model


def _store(
    model: ModelVersion,
    algorithm: Algorithm,
    dataset: Dataset,
    arrays: Arrays,
    *,
    metrics: dict[str, Any],
    report: dict[str, Any],
    at: datetime,
    started: float,
) -> None:
    about = {
        "strategy": model.strategy.slug,
        "strategy_version": model.strategy_version.number,
        "parameters": algorithm.parameters,
        "seed": model.seed,
        "since": model.since,
        "until": model.until,
    }
    written = write_model(
        folder=model.strategy.slug, algorithm=algorithm.key, item_ids=dataset.item_ids, arrays=arrays, about=about
    )
    ModelVersion.objects.filter(pk=model.pk).update(
        status=ModelStatus.READY,
        n_interactions=dataset.n_interactions,
        n_users=dataset.n_users,
        n_items=dataset.n_items,
        fingerprint=fingerprint(dataset),
        parameters=algorithm.parameters,
        metrics=metrics,
        report=report,
        sha256=written.sha256,
        path=written.path,
        trained_at=at,
        duration_ms=_elapsed_ms(started),
    )
    model.refresh_from_db()


def _judge(algorithm: Algorithm, dataset: Dataset, *, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures for the guard, and the report."""
    rng = np.random.default_rng(seed)
    split = limited(split_dataset(dataset, rng=rng), max_people=MAX_JUDGED, rng=rng) if dataset.n_interactions else None
    if split is None or split.people.size < 2:
        return {"schema": 1, "judged": 0, "note": "too few people with five events to judge the model"}, {}
    judged = judge(algorithm, algorithm.fit(split.train, rng=np.random.default_rng(seed)), split)
    baseline = build("popularity", {"half_life_days": 0.0})
    plain = judge(baseline, baseline.fit(split.train, rng=rng), split)
    metrics = {
        "schema": 1,
        "judged": judged.quality.n,
        "split": "temporal" if split.is_temporal else "random",
        **_figures(judged),
        "popularity_ndcg": plain.quality.ndcg,
    }
    return metrics, build_report(judged, plain, split, rng=rng)


def _figures(judged: Judged) -> dict[str, float]:
    names = ("ndcg", "ndcg_se", "recall", "precision", "map", "mrr", "hit_rate", "coverage", "novelty", "gini")
    return {name: getattr(judged.quality, name) for name in names}


def _serving(version: StrategyVersion) -> ModelVersion | None:
    """The model that a new one of this version would take the place of."""
    published = ModelVersion.objects.filter(strategy=version.strategy_id, status=ModelStatus.PUBLISHED)
    return published.filter(strategy_version=version).first() or published.order_by("-published_at", "-pk").first()


def _compare(new: ModelVersion, current: ModelVersion | None) -> _Comparison:
    """Not worse than the serving model beyond chance (two standard errors of the difference), and no collapse."""
    if not new.metrics["judged"]:
        return _Comparison(True, str(new.metrics["note"]))
    if new.metrics["ndcg"] < new.metrics["popularity_ndcg"]:
        note = f"below popularity: NDCG {new.metrics['ndcg']:.4f} against {new.metrics['popularity_ndcg']:.4f}"
    else:
        note = f"NDCG {new.metrics['ndcg']:.4f}"
    if current is None or not current.metrics.get("judged"):
        return _Comparison(True, note)
    margin = 2.0 * float(np.hypot(new.metrics["ndcg_se"], current.metrics["ndcg_se"]))
    if new.metrics["ndcg"] < current.metrics["ndcg"] - margin:
        return _Comparison(False, f"worse than the current model: {note}, it had {current.metrics['ndcg']:.4f}")
    if new.metrics["coverage"] < COLLAPSED_COVERAGE * current.metrics["coverage"]:
        return _Comparison(False, f"covers {new.metrics['coverage']:.1%}, it had {current.metrics['coverage']:.1%}")
    return _Comparison(True, note)


def _store_popularity(dataset: Dataset, at: datetime) -> None:
    popularity = build("popularity", {})
    values = popularity.fit(dataset, rng=np.random.default_rng(0))["popularity"]
    set_popularity(scores=dict(zip(dataset.item_ids.tolist(), values.tolist(), strict=True)), at=at)


def _elapsed_ms(started: float) -> int:
    return int((time.perf_counter() - started) * 1000)
