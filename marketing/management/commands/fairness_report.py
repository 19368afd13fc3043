"""`manage.py fairness_report`: whom a campaign or a segment reaches, by protected trait."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from experiments.reports import Bounds, Estimate
from marketing.errors import MarketingError
from marketing.services import fairness
from recommender.errors import RecommenderError


class Command(BaseCommand):
    help = "Compare delivery, conversion and lift by protected trait; groups of fewer than 50 people are not shown."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--campaign", help="the campaign's short name")
        what.add_argument("--segment", help="the segment's short name: shares only, no lift")
        parser.add_argument("--strategy", default="", help="with --segment: what this strategy would show its members")
        parser.add_argument("--trait", action="append", default=[], help="only this protected trait (repeatable)")
        parser.add_argument("--json", action="store_true", help="as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        at = timezone.now()
        try:
            if options["campaign"]:
                report = fairness.of_campaign(slug=options["campaign"], at=at, traits=options["trait"])
            else:
                report = fairness.of_segment(
                    slug=options["segment"], at=at, traits=options["trait"], strategy=options["strategy"]
                )
        except (MarketingError, RecommenderError) as error:
            raise CommandError(str(error), returncode=2) from error
        if options["json"]:
            self.stdout.write(json.dumps(asdict(report), default=str, indent=2))
            return
        self.stdout.write(report.title)
        for row in report.groups:
            self._group(row)
        for item in report.items:
            share = f"{100 * item.value:.1f} % {_interval(item.bounds)}"
            self.stdout.write(f"shown to {item.label}: {item.category} {share}")
        if report.suppressed_n:
            self.stdout.write(f"{report.suppressed_n} groups have fewer than {report.minimum} people: not shown")

    def _group(self, row: fairness.GroupRow) -> None:
        if row.delivery is None:
            return
        self.stdout.write(f"{row.traits}: {row.label}")
        self.stdout.write(f"  reached   {_share(row.delivery)}, against all others {_effect(row.difference)}")
        self.stdout.write(f"  converted {_share(row.conversion)}")
        for arm in row.arms:
            lift = "" if arm.is_control else f", effect {_effect(arm.effect)}"
            self.stdout.write(f"    {arm.name}: {_share(arm.conversion)}{lift}")


def _share(share: fairness.Share | None) -> str:
    if share is None:
        return "not shown: fewer than 50"
    return f"{share.successes} of {share.n} = {100 * share.value:.1f} % {_interval(share.bounds)}"


def _effect(effect: Estimate | None) -> str:
    if effect is None or effect.effect is None:
        return "not shown"
    return f"{100 * effect.effect:+.1f} points {_interval(effect.effect_ci)}"


def _interval(bounds: Bounds | None) -> str:
    if bounds is None or bounds.lower is None or bounds.upper is None:
        return ""
    return f"[{100 * bounds.lower:.1f}, {100 * bounds.upper:.1f}]"
