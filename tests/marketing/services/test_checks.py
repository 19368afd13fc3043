from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from experiments.services.metrics import ensure_builtin_metrics
from marketing.models import EventType, Segment
from marketing.services.campaigns import CampaignDraft
from marketing.services.checks import launch_checks, reasons_against, sample_size
from tests.factories.campaigns import CONTROL, PERSONAL, make_catalogue, make_draft, make_members
from tests.factories.marketing import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _world() -> None:
    ensure_builtin_metrics()
    make_catalogue()


def blocked(draft: CampaignDraft) -> list[str]:
    return [check.code for check in launch_checks(draft=draft) if not check.is_done]


def test_launch_checks__complete_draft__are_all_done() -> None:
    checks = launch_checks(draft=make_draft())
    assert len(checks) == 9
    assert reasons_against(checks) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"consent_purposes": ("personalization",)}, "consent"),
        ({"consent_purposes": ("analytics",)}, "consent"),
        ({"arms": (replace(CONTROL, is_control=False), PERSONAL)}, "control"),
        ({"arms": (replace(CONTROL, percent=0), replace(PERSONAL, percent=100))}, "control"),
        ({"arms": (replace(CONTROL, percent=100),)}, "arms"),
        ({"arms": (CONTROL, replace(PERSONAL, headline=""))}, "arms"),
        ({"arms": (CONTROL, replace(CONTROL, key="copy", is_control=False))}, "difference"),
        ({"arms": (CONTROL, replace(PERSONAL, percent=40))}, "shares"),
        ({"arms": (CONTROL, replace(PERSONAL, strategy="horoscope"))}, "strategies"),
        ({"goal_metric": "happiness"}, "metrics"),
        ({"guardrail_metrics": ("conversion",)}, "metrics"),
        ({"people_per_day": 1}, "duration"),
        ({"people_per_day": 0}, "duration"),
        ({"baseline": 0.0}, "duration"),
    ],
)
def test_launch_checks__one_thing_wrong__is_named(change: dict[str, Any], code: str) -> None:
    assert code in blocked(make_draft(**change))


def test_launch_checks__segment_without_members__blocks() -> None:
    assert blocked(make_draft(segment_id=make_members().pk)) == ["people"]


def test_launch_checks__no_control_share_with_a_reason__is_allowed_by_the_control_check() -> None:
    arms = (replace(CONTROL, percent=0), PERSONAL, replace(PERSONAL, key="b", headline="Other"))
    draft = make_draft(arms=arms, no_control_reason="The law asks us to tell everybody.")
    assert "control" not in blocked(draft)


def test_sample_size__control_not_first__is_the_same_as_control_first() -> None:
    draft = make_draft(arms=(replace(CONTROL, percent=80), replace(PERSONAL, percent=20)))
    turned = replace(draft, arms=draft.arms[::-1])
    assert sample_size(draft=draft) == sample_size(draft=turned)
    assert sample_size(draft=draft).total is not None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cadence": "triggered", "trigger_event": "Product Added"}, ""),
        ({"cadence": "triggered", "trigger_event": "Produkt Added"}, "Nobody has ever done this: “Produkt Added”"),
        ({"cadence": "triggered", "trigger_event": "Product Added", "cancel_event": "Bought"}, "“Bought”"),
        ({"cadence": "triggered", "trigger_event": "Product Added", "cancel_event": "Product Added"}, "also cancels"),
        ({"cadence": "recurring", "every_days": 7}, ""),
        ({"cadence": "recurring", "every_days": 7, "ends_at": NOW + timedelta(days=7)}, ""),
        ({"cadence": "recurring", "every_days": 7, "ends_at": NOW + timedelta(days=6)}, "a second time"),
    ],
)
def test_launch_checks__time_of_sending__makes_sense(change: dict[str, Any], said: str) -> None:
    EventType.objects.create(name="Product Added")
    draft = make_draft(kind="email", starts_at=NOW, **change)
    (check,) = [one for one in launch_checks(draft=draft) if one.code == "timing"]
    assert check.is_done is not bool(said)
    assert said in check.reason


def test_launch_checks__trigger_segment_in_the_archive__is_said() -> None:
    segment = make_members()
    draft = make_draft(kind="email", cadence="triggered", trigger_segment_id=segment.pk)
    assert "timing" not in blocked(draft)
    Segment.objects.filter(pk=segment.pk).update(archived_at=NOW)
    (reason,) = [check.reason for check in launch_checks(draft=draft) if check.code == "timing"]
    assert "archive" in reason
