"""Statement 21: nothing is kept beyond its limit, as a nightly proof says; without consent there are only counts."""

from __future__ import annotations

import io
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from experiments.services.lifecycle import stop
from marketing.choices import DataClass, DeliveryStatus, IdentityKind, Outside
from marketing.models import (
    Activity,
    DataRequest,
    DeadLetter,
    Delivery,
    Event,
    MembershipEvent,
    OutsideCount,
    Profile,
    RetentionProof,
    RetentionRule,
)
from marketing.segmentation.clock import to_micros
from marketing.selectors.archive import archive_folder
from marketing.services import answers
from marketing.services.archive import archive_events
from marketing.services.audience import Visitor
from marketing.services.experience import serve
from marketing.services.profiles import create_profile
from marketing.services.retention import DEFAULTS, WAYS, apply_retention, ensure_rules
from recommender.models import Slate, StrategyVersion
from tests.factories.campaigns import make_campaign, make_user
from tests.factories.experiments import make_experiment
from tests.factories.marketing import NOW, make_profile, make_segment, send, track

pytestmark = pytest.mark.django_db
DAYS = 100
OLD, YOUNG = NOW - timedelta(days=101), NOW - timedelta(days=99)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, settings: Any) -> None:
    settings.DATA_DIR = tmp_path


def make_of(data_class: DataClass, at: datetime) -> None:
    """One row of the class from that moment."""
    if data_class == DataClass.EVENTS:
        send(track("Product Viewed", user="ann", at=at, product_id="p1"), at=at)
    elif data_class == DataClass.ANONYMOUS:
        create_profile(identities=[(IdentityKind.ANONYMOUS, f"v{at}")], traits={}, at=at)
    elif data_class == DataClass.MEMBERSHIP_HISTORY:
        segment = make_segment({"all": []})
        MembershipEvent.objects.create(segment=segment, profile=make_profile(), change=1, at=at, cause="event")
    elif data_class == DataClass.DELIVERIES:
        campaign = make_campaign(status="draft")
        Delivery.objects.create(
            campaign=campaign,
            profile=make_profile(),
            arm_key="control",
            status=DeliveryStatus.SENT,
            status_at=at,
            send_at=at,
        )
    elif data_class == DataClass.SLATES:
        make_campaign(status="draft")
        lists: dict[str, list[Any]] = {"items": [], "scores": [], "reasons": [], "propensities": [], "sources": []}
        version = StrategyVersion.objects.order_by("pk")[0]
        Slate.objects.create(
            recommendation_id=uuid.uuid4(),
            user_id="1",
            strategy_version=version,
            at=to_micros(at),
            duration_us=1,
            **lists,
        )
    elif data_class == DataClass.DEAD_LETTERS:
        DeadLetter.objects.create(payload="{}", reason="bad", at=at)
    elif data_class == DataClass.EXPORTS:
        answers.ask(profile_id=make_profile().pk, at=at)
        answers.answer_due(at=at)


def limit(data_class: DataClass) -> None:
    ensure_rules()
    RetentionRule.objects.update(days=None)
    RetentionRule.objects.filter(data_class=data_class).update(days=DAYS)


@pytest.mark.parametrize("data_class", list(DataClass))
def test_compliance_21__older_than_the_limit__is_deleted_and_proved(data_class: DataClass) -> None:
    limit(data_class)
    for at in (OLD, YOUNG):
        make_of(data_class, at)
    (dry,) = apply_retention(at=NOW, is_dry_run=True)
    assert (dry.older_before_n, dry.deleted_n, dry.older_n) == (1, 0, 1)
    assert not RetentionProof.objects.exists()
    (done,) = apply_retention(at=NOW)
    assert (done.older_before_n, done.deleted_n, done.older_n) == (1, 1, 0)
    proof = RetentionProof.objects.get()
    assert (proof.data_class, proof.days, proof.deleted_n, proof.older_n) == (data_class.value, DAYS, 1, 0)
    (again,) = apply_retention(at=NOW)
    assert (again.older_before_n, again.deleted_n) == (0, 0)
    (later,) = apply_retention(at=NOW + timedelta(days=2))
    assert later.deleted_n == 1  # the younger one was left, and is older now


def test_compliance_21__every_class__has_a_way_and_a_default() -> None:
    assert set(WAYS) == set(DEFAULTS) == set(DataClass)
    ensure_rules()
    RetentionRule.objects.filter(data_class=DataClass.EXPORTS).update(days=7)
    ensure_rules()
    assert RetentionRule.objects.count() == len(DataClass)
    assert RetentionRule.objects.get(data_class=DataClass.EXPORTS).days == 7


def test_retention__events_of_the_archive__go_with_their_files_and_counts() -> None:
    make_of(DataClass.EVENTS, OLD - timedelta(days=300))
    make_of(DataClass.EVENTS, YOUNG)
    assert archive_events(at=NOW, keep_days=150).events_n == 1
    limit(DataClass.EVENTS)
    (done,) = apply_retention(at=NOW)
    assert (done.deleted_n, done.older_n) == (1, 0)
    assert not list(archive_folder().rglob("*.parquet"))
    assert Activity.objects.get().n == 1
    assert Event.objects.count() == 1


def test_retention__events_that_an_experiment_needs__are_held_back_and_told() -> None:
    experiment = make_experiment(status="running")
    assert experiment.started_at is not None
    at = experiment.started_at
    make_of(DataClass.EVENTS, at + timedelta(days=1))
    limit(DataClass.EVENTS)
    (held,) = apply_retention(at=at + timedelta(days=300))
    assert (held.deleted_n, held.older_n) == (0, 1)
    with pytest.raises(CommandError, match="open experiments: events"):
        call_command("apply_retention", stdout=io.StringIO())
    assert Event.objects.exists()
    stop(experiment_key=experiment.key, at=at + timedelta(days=14))
    type(experiment).objects.update(status="decided")
    (done,) = apply_retention(at=at + timedelta(days=300))
    assert (done.deleted_n, done.older_n) == (1, 0)


def test_retention__people_with_a_name_or_a_visit__stay() -> None:
    make_profile(user_id="ann", at=OLD)
    create_profile(identities=[(IdentityKind.ANONYMOUS, "v1")], traits={}, at=OLD)
    send(track("Product Viewed", visitor="v1", at=YOUNG, product_id="p1"), at=YOUNG)
    limit(DataClass.ANONYMOUS)
    (done,) = apply_retention(at=NOW)
    assert done.older_before_n == 0
    assert Profile.objects.count() == 2


def test_retention__message_under_way__stays() -> None:
    make_of(DataClass.DELIVERIES, OLD)
    Delivery.objects.update(status=DeliveryStatus.PENDING)
    limit(DataClass.DELIVERIES)
    (done,) = apply_retention(at=NOW)
    assert done.older_before_n == 0


def test_retention__export__loses_its_file() -> None:
    make_of(DataClass.EXPORTS, OLD)
    path = answers.path_of(DataRequest.objects.get())
    assert path.exists()
    limit(DataClass.EXPORTS)
    apply_retention(at=NOW)
    assert not path.exists()


def test_command__dry_run__counts_only() -> None:
    make_of(DataClass.DEAD_LETTERS, timezone.now() - timedelta(days=365))
    limit(DataClass.DEAD_LETTERS)
    out = io.StringIO()
    call_command("apply_retention", "--dry-run", stdout=out)
    assert "dead_letters (100 days): 1 would be deleted" in out.getvalue()
    assert DeadLetter.objects.exists()
    call_command("apply_retention", stdout=out)
    assert "1 older, 1 deleted, 0 left" in out.getvalue()


def test_page_and_health__something_is_kept_too_long__show_it(client: Client) -> None:
    limit(DataClass.EVENTS)
    RetentionProof.objects.create(data_class="events", at=timezone.now(), days=DAYS, deleted_n=0, older_n=0)
    assert client.get("/healthz").json()["kept_too_long"] == []
    RetentionProof.objects.create(data_class="events", at=timezone.now(), days=DAYS, deleted_n=0, older_n=7)
    health = client.get("/healthz").json()
    assert (health["status"], health["kept_too_long"]) == ("degraded", ["events"])
    answers.ask(profile_id=make_profile().pk, at=NOW - timedelta(days=60))
    client.force_login(make_user(role="analyst"))
    page = client.get("/privacy/").content.decode()
    assert "overdue" in page
    assert "due on" in page


def test_compliance_21__without_consent__only_counts_without_a_name() -> None:
    campaign = make_campaign()
    for _ in range(3):
        serve(slug=campaign.slug, visitor=Visitor(), at=NOW)
    assert not Profile.objects.exists()
    assert not Event.objects.exists()
    row = OutsideCount.objects.get()
    assert (row.reason, row.n) == (Outside.NO_VISITOR, 3)
