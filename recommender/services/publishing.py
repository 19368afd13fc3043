"""Which model of a strategy serves: publish and roll back."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from recommender.choices import PUBLISHABLE, ModelStatus
from recommender.errors import CannotPublish
from recommender.models import ModelVersion, Strategy, StrategyHold
from recommender.services.changelog import record_change

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import QuerySet


def publish_model(*, model_id: int, at: datetime, actor: User | None = None, message: str = "") -> ModelVersion:
    """Makes this model the one that serves; the one before is retired. Raises `CannotPublish`."""
    with transaction.atomic():
        model = _locked(model_id)
        _displaced(model).update(status=ModelStatus.RETIRED, retired_at=at)
        won = ModelVersion.objects.filter(pk=model.pk, status__in=PUBLISHABLE).update(
            status=ModelStatus.PUBLISHED, published_at=at, retired_at=None
        )
        if not won:
            raise CannotPublish(f"model {model.pk} is {model.get_status_display()}")
        _record(model, transition="publish", actor=actor, at=at, message=message)
    model.refresh_from_db()
    return model


def roll_back(*, slug: str, at: datetime, actor: User | None = None, message: str = "") -> ModelVersion:
    """Publishes the model that served before the present one. Raises `CannotPublish` if there was none."""
    with transaction.atomic():
        retired = ModelVersion.objects.filter(strategy__slug=slug, status=ModelStatus.RETIRED)
        before = retired.filter(_not_kept_aside(), published_at__isnull=False).order_by("-retired_at", "-pk").first()
        if before is None:
            raise CannotPublish(f"the strategy {slug!r} has no earlier model to go back to")
        return publish_model(model_id=before.pk, at=at, actor=actor, message=message or "roll back")


def reject_model(*, model_id: int, at: datetime, message: str, actor: User | None = None) -> None:
    """Keeps a trained model from serving, with the reason; a person may still publish it."""
    with transaction.atomic():
        model = _locked(model_id)
        ModelVersion.objects.filter(pk=model.pk, status=ModelStatus.READY).update(
            status=ModelStatus.REJECTED, message=message
        )
        _record(model, transition="reject", actor=actor, at=at, message=message)


def _displaced(model: ModelVersion) -> QuerySet[ModelVersion]:
    """What serves where this model will: its version's model, and those of other versions that nobody holds.

    A model of a held version that is not the current one serves its holders only; it displaces its like alone.
    """
    serving = ModelVersion.objects.filter(strategy=model.strategy_id, status=ModelStatus.PUBLISHED).exclude(pk=model.pk)
    same = Q(strategy_version=model.strategy_version_id)
    is_aside = (
        model.strategy_version_id != model.strategy.current_version_id
        and model.strategy_version.holds.filter(until=None).exists()
    )
    return serving.filter(same if is_aside else same | _not_kept_aside())


def _not_kept_aside() -> Q:
    """Models that are not there for the holders of an earlier version alone."""
    is_held = Exists(StrategyHold.objects.filter(strategy_version=OuterRef("strategy_version"), until=None))
    return Q(strategy_version=F("strategy__current_version")) | Q(~is_held)


def _locked(model_id: int) -> ModelVersion:
    """The model, with its strategy's row locked: one publication of a strategy at a time."""
    model = ModelVersion.objects.filter(pk=model_id).first()
    if model is None:
        raise CannotPublish(f"there is no model {model_id}")
    model.strategy = Strategy.objects.select_for_update().get(pk=model.strategy_id)
    return model


def _record(model: ModelVersion, *, transition: str, actor: User | None, at: datetime, message: str) -> None:
    record_change(
        object_type="model",
        object_id=str(model.pk),
        transition=transition,
        actor=actor,
        at=at,
        message=message,
        snapshot={"strategy": model.strategy.slug, "sha256": model.sha256, "metrics": model.metrics},
    )
