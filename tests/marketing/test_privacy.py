"""A person's data is handed out whole and deleted whole."""

from __future__ import annotations

import io
import json
import uuid
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection, models

from experiments.models import Exposure
from experiments.services.exposure import ExposureRow, record_many
from marketing.choices import MergeReason, TraitType
from marketing.errors import UnknownProfile
from marketing.models import DeadLetter, Event, Profile
from marketing.segmentation.clock import to_micros
from marketing.services.identity import merge
from marketing.services.privacy import TABLES, erase_profile, export_profile
from marketing.services.profiles import declare_trait
from marketing.services.segments import refresh_segment
from recommender.models import PreparedSlate, Slate, StrategyVersion
from recommender.services.strategies import ensure_default_strategies
from tests.factories.experiments import make_experiment
from tests.factories.marketing import NOW, give_consent, make_profile, make_segment, send, track

pytestmark = pytest.mark.django_db
APPS = ("marketing", "experiments", "recommender")
# Models with a unit or user id, which their own app forgets.
ELSEWHERE = {
    Exposure: "experiments.services.privacy",
    PreparedSlate: "recommender.services.privacy",
    Slate: "recommender.services.privacy",
}


def test_registry__every_model_that_names_a_person__is_erased_and_exported() -> None:
    named: dict[type[models.Model], set[str]] = {Profile: {"id", "merged_into"}}
    for label in APPS:
        for model in apps.get_app_config(label).get_models():
            for field in model._meta.concrete_fields:
                if field.related_model is Profile:
                    named.setdefault(model, set()).add(field.name)
                elif field.name in ("unit_id", "user_id"):
                    assert model in ELSEWHERE, f"{model.__name__}.{field.name} is in no exporter"

    assert {model: set(fields) for model, fields in TABLES} == named


def _ann() -> Profile:
    """Somebody with a row in every table, whose profile has won over another."""
    declare_trait(key="plan", name="Plan", type_=TraitType.TEXT)
    ann = make_profile(user_id="ann-id", email="ann@example.org", plan="gold")
    old = make_profile(user_id="ann-old")
    other = make_profile(user_id="bob-id", plan="gold")
    for user in ("ann-id", "ann-old", "bob-id"):
        send(track("Order Completed", user=user, revenue=5, product_id="p1"))
    send(track("", user="ann-id"), track("", user="bob-id"))
    segment = make_segment({"all": []}, slug="everybody")
    refresh_segment(segment_id=segment.pk, at=NOW)
    experiment = make_experiment(status="running")
    arm = experiment.arms.order_by("position").first()
    assert arm is not None
    assert experiment.started_at is not None
    at = to_micros(experiment.started_at) + 1
    record_many(rows=[ExposureRow(experiment.key, "profile", str(one.pk), arm.key, 1, at) for one in (ann, old, other)])
    ensure_default_strategies(at=NOW)
    for one in (ann, other):
        give_consent(one)
        _recommend(one)
    merge(winner_id=ann.pk, loser_id=old.pk, reason=MergeReason.MANUAL, at=NOW)
    return ann


def _recommend(profile: Profile) -> None:
    """What serving stores; serving itself writes from a thread of its own, outside the test's transaction."""
    version = StrategyVersion.objects.order_by("pk").first()
    assert version is not None
    lists: dict[str, list[Any]] = {"items": ["p1"], "scores": [1], "reasons": [], "propensities": [], "sources": []}
    Slate.objects.create(
        recommendation_id=uuid.uuid4(),
        user_id=str(profile.pk),
        strategy_version=version,
        at=to_micros(NOW),
        duration_us=1,
        **lists,
    )


def _everything() -> str:
    """All rows of all tables as text."""
    found = []
    with connection.cursor() as cursor:
        for label in APPS:
            for model in apps.get_app_config(label).get_models():
                cursor.execute(f"SELECT * FROM {model._meta.db_table}")
                found += [f"{model._meta.db_table}: {row}" for row in cursor.fetchall()]
    return "\n".join(found)


def test_export_profile__somebody__has_every_row_and_nothing_of_others() -> None:
    ann = _ann()
    data = export_profile(profile_id=ann.pk)
    text = json.dumps(data)

    assert "bob" not in text
    assert len(data["profile"]) == len(data["identity"]) == len(data["event"]) == len(data["experiments"]) == 2
    assert data["event"][0]["type__name"] == "Order Completed"
    assert data["profiletrait"][0]["definition__key"] == "plan"
    assert data["membership"][0]["segment__slug"] == "everybody"
    assert data["consent"][0]["purpose"] == "marketing_email"
    assert sum(len(one["slates"]) for one in data["recommendations"]) == 1
    assert export_profile(profile_id=Profile.objects.get(merged_into=ann).pk) == data


def test_erase_profile__somebody__leaves_no_row_and_touches_nobody_else() -> None:
    ann = _ann()
    public_ids = [
        str(one) for one in Profile.objects.exclude(identities__value="bob-id").values_list("public_id", flat=True)
    ]
    before = Event.objects.filter(profile__identities__value="bob-id").count()
    counts = erase_profile(profile_id=ann.pk, at=NOW)
    left = _everything()

    for trace in ("ann-id", "ann-old", "ann@example.org", *public_ids):
        assert trace not in left
        assert trace.replace("-", "") not in left
    assert (counts["event"], counts["exposure"], counts["slate"], counts["deadletter"]) == (2, 2, 1, 1)
    assert Profile.objects.count() == Exposure.objects.count() == Slate.objects.count() == 1
    assert Event.objects.count() == before == DeadLetter.objects.count() == 1
    with pytest.raises(UnknownProfile):
        erase_profile(profile_id=ann.pk, at=NOW)


def command(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_commands__export_and_erase__one_person() -> None:
    profile = make_profile(user_id="ann-id")
    data: dict[str, Any] = json.loads(command("export_profile", str(profile.public_id)))
    assert data["identity"][0]["value"] == "ann-id"

    with pytest.raises(CommandError, match="--yes"):
        command("erase_profile", str(profile.public_id))
    assert "profile: 1" in command("erase_profile", str(profile.public_id), "--yes")
    for name in ("export_profile", "erase_profile"):
        with pytest.raises(CommandError, match="no such profile"):
            command(name, str(profile.public_id))
