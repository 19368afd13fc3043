"""What the home page and the campaign pages show of results: words and counts, read in few queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.db.models import Count
from django.urls import reverse
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from experiments.reports import ComparisonReport, ExperimentReport, MetricReport
from experiments.selectors import exposed_counts, get_reports, list_configs
from experiments.selectors.config import ExperimentConfig
from marketing.choices import CampaignKind, CampaignStatus
from marketing.models import Campaign
from marketing.selectors.reviews import reviewable
from marketing.selectors.sending import Sending, complaints_of

CARDS: Final = 12
DECIDABLE: Final = ("ship", "stop")
UNDECIDED: Final = ("running", "paused", "stopped")
HALTED: Final = ("paused", "stopped", "decided")
ICONS: Final = {"bad": "error", "good": "check", "warning": "pause"}


@dataclass(frozen=True, slots=True)
class CampaignCard:
    """One campaign with its newest report, if it has one."""

    campaign: Campaign
    report: ExperimentReport | None
    experiment_status: str = ""
    """Empty before the launch and after archiving."""
    shipped_arm: str = ""
    """The arm that everybody gets since a decision to ship; empty otherwise."""

    @property
    def is_halted(self) -> bool:
        """Whether the campaign runs but its experiment was paused or ended beside it: people see the default."""
        is_running = self.campaign.status == CampaignStatus.RUNNING
        return is_running and self.experiment_status in HALTED and not self.shipped_arm

    @property
    def comparison(self) -> ComparisonReport | None:
        """The arm that the verdict is about, otherwise the first treated one, against control on the goal."""
        return deciding_comparison(self.report)

    @property
    def is_certain(self) -> bool:
        """Whether the numbers say what to do; before that the lift is shown as what it is, a guess."""
        return self.report is not None and self.report.health.is_healthy and self.report.verdict.outcome in DECIDABLE


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that waits for a person."""

    text: str
    url: str
    level: str

    @property
    def icon(self) -> str:
        """The sign beside the words."""
        return ICONS[self.level]


@dataclass(frozen=True, slots=True)
class Stage:
    """How many people of an arm came so far, as of the last refresh."""

    people: int
    of: int

    @property
    def share(self) -> float | None:
        """None while nobody was exposed."""
        return self.people / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class FunnelRow:
    """One arm from exposure to order; None where nothing was counted yet."""

    key: str
    name: str
    is_control: bool
    exposed: int
    clicked: Stage | None
    ordered: Stage | None


def running_cards() -> list[CampaignCard]:
    """Return running and paused campaigns with their reports, in two queries."""
    live = Campaign.objects.filter(status__in=(CampaignStatus.RUNNING, CampaignStatus.PAUSED))
    return _with_reports(list(live.select_related("segment").order_by("-launched_at", "-pk")[:CARDS]))


def cards_of(campaigns: list[Campaign]) -> list[CampaignCard]:
    """Return campaigns with their newest reports, in one query."""
    return _with_reports(campaigns)


def card_of(campaign: Campaign) -> CampaignCard:
    """Return one campaign with its newest report."""
    return _with_reports([campaign])[0]


def status_counts() -> dict[str, int]:
    """Return how many campaigns are in each state."""
    counted = Campaign.objects.values_list("status").annotate(n=Count("pk")).order_by()
    return {status.value: 0 for status in CampaignStatus} | dict(counted)


def attention(cards: list[CampaignCard]) -> list[Attention]:
    """Return what waits for somebody, the worst first."""
    found: list[Attention] = []
    complaints = complaints_of(campaign_ids=[card.campaign.pk for card in cards if _is_sent(card)])
    for card in cards:
        name = card.campaign.name
        experiment = reverse("experiments:experiment-detail", args=[card.campaign.experiment_key])
        if card.report is not None and not card.report.health.is_healthy:
            text = _("“%(name)s” cannot be trusted yet: look at its health.") % {"name": name}
            found.insert(0, Attention(text, experiment, "bad"))
        elif _is_decidable(card):
            text = _("“%(name)s” can be decided.") % {"name": name}
            found.append(Attention(text, experiment, "good"))
        if (spam := complaints.get(card.campaign.pk)) is not None and spam.level:
            text = _("%(n)s recipients of “%(name)s” called it spam, %(rate)s %% of the messages.") % {
                "n": spam.people,
                "name": name,
                "rate": number_format(100 * (spam.rate or 0.0), decimal_pos=2),
            }
            found.insert(0, Attention(text, card.campaign.get_absolute_url(), spam.level))
        if card.is_halted:
            text = _("“%(name)s” runs, but its experiment does not: people see the default.") % {"name": name}
            found.append(Attention(text, experiment, "warning"))
        if card.campaign.status == CampaignStatus.PAUSED:
            text = _("“%(name)s” is paused: nobody new enters.") % {"name": name}
            found.append(Attention(text, card.campaign.get_absolute_url(), "warning"))
    return found


def reviews_for(*, user_id: int) -> list[Attention]:
    """Return the reviews that wait for this person; for who may approve."""
    return [
        Attention(
            _("“%(name)s” waits for your review.") % {"name": campaign.name},
            reverse("marketing:campaign-review", args=[campaign.slug]),
            "good",
        )
        for campaign in reviewable(user_id=user_id)
    ]


def _is_sent(card: CampaignCard) -> bool:
    return card.campaign.kind == CampaignKind.EMAIL


def _is_decidable(card: CampaignCard) -> bool:
    """Tell whether the numbers say what to do and nobody has done it yet."""
    if card.report is None or card.report.verdict.outcome not in DECIDABLE:
        return False
    return card.experiment_status in UNDECIDED


def deciding_comparison(report: ExperimentReport | None) -> ComparisonReport | None:
    """Return the verdict's arm against control on the goal, otherwise the first one; None before the first refresh."""
    metric = report.primary if report is not None else None
    if report is None or metric is None or not metric.comparisons:
        return None
    named = (one for one in metric.comparisons if one.arm == report.verdict.arm)
    return next(named, metric.comparisons[0])


def funnel(*, campaign: Campaign, report: ExperimentReport | None) -> list[FunnelRow]:
    """Return the funnel by arm: live counts of people exposed, clicks and orders as of the last refresh."""
    exposed = exposed_counts(experiment_key=campaign.experiment_key) if campaign.experiment_key else {}
    clicked, ordered = _stages(report, "click_rate"), _stages(report, "conversion")
    return [
        FunnelRow(
            key=arm.key,
            name=arm.name,
            is_control=arm.is_control,
            exposed=exposed.get(arm.key, 0),
            clicked=clicked.get(arm.key),
            ordered=ordered.get(arm.key),
        )
        for arm in campaign.arms.order_by("position")
    ]


def shown_arm(*, card: CampaignCard, rows: list[FunnelRow]) -> str:
    """Return the name of the arm whose effect a campaign's page shows first; empty where there is only one."""
    shown = card.comparison
    treated = {row.key: row.name for row in rows if not row.is_control}
    return treated.get(shown.arm, "") if shown is not None and len(treated) > 1 else ""


@dataclass(frozen=True, slots=True)
class MailFunnelRow:
    """One arm of a sending from the audience to the order; the exposed are those who reached the moment of sending."""

    row: FunnelRow
    audience: int
    sent: int
    delivered: int


def mail_funnel(*, rows: list[FunnelRow], sending: Sending | None) -> list[MailFunnelRow]:
    """Return the funnel of a sending by arm; nothing before its audience is frozen, and nothing for a page."""
    by_arm = {arm.arm_key: arm for arm in sending.arms} if sending is not None else {}
    return [
        MailFunnelRow(row=row, audience=arm.audience, sent=arm.sent, delivered=arm.delivered)
        for row in rows
        for arm in [by_arm.get(row.key)]
        if arm is not None
    ]


@dataclass(frozen=True, slots=True)
class RetentionRow:
    """Which share of an arm's people came back, by metric; None where nobody's day has come yet."""

    name: str
    is_control: bool
    shares: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Retention:
    """How the people whom a campaign reached come back, arm by arm."""

    columns: tuple[str, ...]
    rows: tuple[RetentionRow, ...]


def retention(*, report: ExperimentReport | None) -> Retention | None:
    """Return the retention of the reached people; None where the plan has no such metric or nothing was computed."""
    metrics = [metric for metric in (report.metrics if report is not None else ()) if metric.kind == "retention"]
    if report is None or not metrics:
        return None
    shares = [{arm.arm: arm.value for arm in metric.arms} for metric in metrics]
    return Retention(
        columns=tuple(metric.name for metric in metrics),
        rows=tuple(
            RetentionRow(name=arm.name, is_control=arm.is_control, shares=tuple(one.get(arm.key) for one in shares))
            for arm in report.arms
        ),
    )


def _stages(report: ExperimentReport | None, key: str) -> dict[str, Stage]:
    metrics: tuple[MetricReport, ...] = report.metrics if report is not None else ()
    metric = next((found for found in metrics if found.key == key), None)
    arms = metric.arms if metric is not None else ()
    return {arm.arm: Stage(people=arm.nonzero_so_far_n, of=arm.exposed_n) for arm in arms}


def _with_reports(campaigns: list[Campaign]) -> list[CampaignCard]:
    keys = [campaign.experiment_key for campaign in campaigns if campaign.experiment_key]
    reports = get_reports(experiment_keys=keys) if keys else {}
    configs = list_configs() if keys else {}
    return [_card(campaign, reports.get(campaign.experiment_key), configs) for campaign in campaigns]


def _card(campaign: Campaign, report: ExperimentReport | None, configs: Mapping[str, ExperimentConfig]) -> CampaignCard:
    config = configs.get(campaign.experiment_key)
    return CampaignCard(
        campaign=campaign,
        report=report,
        experiment_status=config.status if config is not None else "",
        shipped_arm=config.shipped.arm.key if config is not None and config.shipped is not None else "",
    )
