"""The experiment that a campaign becomes at its launch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from django.utils.translation import gettext as _

from experiments.services import design
from marketing.services.campaigns import CampaignDraft
from marketing.services.checks import sample_size

UNIT_TYPE: Final = "profile"
WATCHED: Final = ("conversion", "revenue", "click_rate", "retention_7", "retention_30")
"""What every campaign looks at beside its goal: sales, clicks, and whether the people it reached come back."""


def experiment_of(
    draft: CampaignDraft,
    *,
    key: str,
    versions: Mapping[str, int],
    demo_truth: Mapping[str, Any] | None,
    seed: str,
) -> design.Design:
    size = sample_size(draft=draft)
    # No margin: a guardrail stops a launch when harm is shown. Excluding a small harm to a rare event would take more
    # people than the goal itself, and every campaign would stay undecided.
    ceilings = {"unsubscribe_rate": draft.unsubscribe_ceiling, "complaint_rate": draft.complaint_ceiling}
    ceilings = {key: ceiling for key, ceiling in ceilings.items() if ceiling is not None}
    guardrails = [
        design.MetricSpec(key=metric, role="guardrail", ceiling=ceilings.get(metric))
        for metric in dict.fromkeys((*draft.guardrail_metrics, *ceilings))
    ]
    watched = [
        design.MetricSpec(key=metric, role="secondary")
        for metric in WATCHED
        if metric != draft.goal_metric and metric not in draft.guardrail_metrics
    ]
    plan = asdict(draft)
    plan |= {"schema": 1, "starts_at": _iso(draft.starts_at), "ends_at": _iso(draft.ends_at)}
    return design.Design(
        key=key,
        name=draft.name,
        hypothesis=_("The campaign “%(name)s” raises its goal by at least %(lift)s %%.")
        % {"name": draft.name, "lift": f"{draft.mde * 100:g}"},
        unit_type=UNIT_TYPE,
        arms=tuple(
            design.ArmSpec(
                key=arm.key,
                name=arm.name,
                weight=arm.percent / 100,
                is_control=arm.is_control,
                payload={
                    "schema": 1,
                    "headline": arm.headline,
                    "strategy": arm.strategy,
                    "strategy_version": versions.get(arm.strategy),
                    "item_count": arm.item_count,
                },
            )
            for arm in draft.arms
        ),
        metrics=(design.MetricSpec(key=draft.goal_metric, role="primary"), *guardrails, *watched),
        mde=draft.mde,
        planned_size=size.total,
        planned_days=size.days,
        plan=plan,
        is_demo=draft.is_demo,
        demo_truth=None if demo_truth is None else dict(demo_truth),
        seed=seed,
    )


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
