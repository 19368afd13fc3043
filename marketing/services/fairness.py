"""Whom a campaign or a segment reaches, by protected trait: delivery, conversion, lift, and what people are shown.

Groups with fewer than `MINIMUM` people, and arms with fewer of a group, are not shown: neither can be judged, and few
people in a cell can be recognized. Of a segment without an experiment only shares are shown, and no lift: what people
do who were not randomized says nothing of what caused it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, combinations
from typing import Final

from django.db.models.expressions import RawSQL
from django.utils.translation import gettext as _

from experiments.reports import Bounds, Estimate
from experiments.selectors import each_exposed
from experiments.services.shares import compare_shares, mean_bounds, share_bounds
from marketing.choices import Sensitivity
from marketing.errors import CannotReport
from marketing.models import Campaign, CampaignArm, Membership, Profile, Segment, TraitDefinition
from marketing.segmentation.clock import to_micros
from marketing.services.fairness_counts import BATCH, REACHED, Cell, addressed, counted, labels_of, reached
from marketing.services.protected import demand_basis
from recommender.selectors import item_categories
from recommender.services.serving import recommend_many

MINIMUM: Final = 50
"""People of a group, and of an arm in it, below which nothing is shown."""
UNIT_TYPE: Final = "profile"
MOST_TRAITS: Final = 4
"""With more, the intersections would be hundreds of cells."""
SAMPLED: Final = 2_000
"""People of a segment whose recommendations are looked at."""
SHOWN: Final = 10
"""Items of one answer."""
MOST_CATEGORIES: Final = 8


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many, with its interval; nothing but the reason where the cell is too small."""

    n: int
    successes: int
    value: float
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One arm in one group."""

    key: str
    name: str
    is_control: bool
    conversion: Share | None
    effect: Estimate | None
    """Against the control of the same group; None for the control, and for a cell that is too small."""


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One value of a trait, or one combination of two."""

    traits: str
    label: str
    delivery: Share | None
    """None: fewer than `MINIMUM` people."""
    difference: Estimate | None
    """Of the delivery, against everybody else."""
    conversion: Share | None
    arms: tuple[ArmRow, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemShare:
    """Which part of what a group is shown belongs to one category."""

    label: str
    category: str
    people_n: int
    value: float
    bounds: Bounds


@dataclass(frozen=True, slots=True)
class FairnessReport:
    """Everything about one campaign or segment."""

    title: str
    at: datetime
    has_experiment: bool
    groups: tuple[GroupRow, ...]
    items: tuple[ItemShare, ...] = ()
    minimum: int = MINIMUM
    suppressed_n: int = 0
    traits: tuple[str, ...] = field(default=())


def of_campaign(*, slug: str, at: datetime, traits: Sequence[str] = ()) -> FairnessReport:
    """Report on a campaign: reached are those whom its experiment exposed, of the people whom it could address."""
    campaign = Campaign.objects.filter(slug=slug).first()
    if campaign is None or not campaign.experiment_key:
        raise CannotReport(_("There is no campaign “%(slug)s” that ran.") % {"slug": slug})
    chosen = _traits(traits)
    exposed = (
        (int(unit), arm, first_at)
        for unit, arm, first_at in each_exposed(experiment_key=campaign.experiment_key, unit_type=UNIT_TYPE)
    )
    people = addressed(campaign.segment_id)
    arms = list(CampaignArm.objects.filter(campaign=campaign).order_by("position", "pk"))
    with reached(exposed):
        groups, hidden = _groups(chosen, people=people, arms=arms, at=None)
    return FairnessReport(
        title=campaign.name,
        at=at,
        has_experiment=True,
        groups=groups,
        suppressed_n=hidden,
        traits=tuple(trait.name for trait in chosen),
    )


def of_segment(*, slug: str, at: datetime, traits: Sequence[str] = (), strategy: str = "") -> FairnessReport:
    """Report on a segment: reached are its members, of everybody; with a strategy also what it would show them."""
    segment = Segment.objects.filter(slug=slug).first()
    if segment is None:
        raise CannotReport(_("There is no segment “%(slug)s”.") % {"slug": slug})
    chosen = _traits(traits)
    moment = to_micros(at)
    members = Membership.objects.filter(segment=segment).order_by("pk").values_list("profile_id", flat=True)
    rows = ((pk, "", moment) for pk in members.iterator(chunk_size=BATCH))
    with reached(rows):
        groups, hidden = _groups(chosen, people="p.merged_into_id IS NULL", arms=[], at=at)
        items = _items(chosen, strategy=strategy, at=at) if strategy else ()
    return FairnessReport(
        title=segment.name,
        at=at,
        has_experiment=False,
        groups=groups,
        items=items,
        suppressed_n=hidden,
        traits=tuple(trait.name for trait in chosen),
    )


def _traits(keys: Sequence[str]) -> list[TraitDefinition]:
    """The protected traits asked for, or all of them; each needs its legal basis even for this."""
    rows = TraitDefinition.objects.filter(sensitivity=Sensitivity.PROTECTED).select_related("basis").order_by("key")
    found = list(rows.filter(key__in=keys) if keys else rows)
    unknown = sorted(set(keys) - {trait.key for trait in found})
    if unknown:
        raise CannotReport(_("%(traits)s is no protected trait.") % {"traits": ", ".join(unknown)})
    if not found:
        raise CannotReport(_("No trait is marked as protected, so there are no groups to compare."))
    if len(found) > MOST_TRAITS:
        raise CannotReport(_("Choose at most %(n)d traits.") % {"n": MOST_TRAITS})
    demand_basis(found)
    return found


def _groups(
    traits: Sequence[TraitDefinition], *, people: str, arms: Sequence[CampaignArm], at: datetime | None
) -> tuple[tuple[GroupRow, ...], int]:
    rows: list[GroupRow] = []
    hidden = 0
    for chosen in chain(((one,) for one in traits), combinations(traits, 2)):
        cells = counted(chosen, people=people, at=at)
        name = " × ".join(trait.name for trait in chosen)
        everybody = _summed(list(cells.values()))
        for labels in sorted({labels for labels, _arm in cells}):
            mine = {arm: cell for (one, arm), cell in cells.items() if one == labels}
            row = _row(name, " × ".join(labels), mine, everybody, arms)
            hidden += row.delivery is None
            rows.append(row)
    return tuple(rows), hidden


def _row(name: str, label: str, mine: dict[str, Cell], everybody: Cell, arms: Sequence[CampaignArm]) -> GroupRow:
    group = _summed(list(mine.values()))
    if group.people < MINIMUM:
        return GroupRow(traits=name, label=label, delivery=None, difference=None, conversion=None)
    others = everybody.people - group.people
    difference = None
    if others >= MINIMUM:
        difference = compare_shares(
            control_successes=everybody.reached - group.reached,
            control_n=others,
            successes=group.reached,
            n=group.people,
        )
    control = next((mine.get(arm.key) for arm in arms if arm.is_control), None)
    return GroupRow(
        traits=name,
        label=label,
        delivery=_share(group.reached, group.people),
        difference=difference,
        conversion=_share(group.converted, group.reached) if group.reached >= MINIMUM else None,
        arms=tuple(_arm(arm, mine.get(arm.key), control) for arm in arms),
    )


def _arm(arm: CampaignArm, cell: Cell | None, control: Cell | None) -> ArmRow:
    is_shown = cell is not None and cell.reached >= MINIMUM
    effect = None
    if cell is not None and is_shown and not arm.is_control and control is not None and control.reached >= MINIMUM:
        effect = compare_shares(
            control_successes=control.converted,
            control_n=control.reached,
            successes=cell.converted,
            n=cell.reached,
        )
    conversion = _share(cell.converted, cell.reached) if cell is not None and is_shown else None
    return ArmRow(key=arm.key, name=arm.name, is_control=arm.is_control, conversion=conversion, effect=effect)


def _share(successes: int, n: int) -> Share:
    return Share(n=n, successes=successes, value=successes / n, bounds=share_bounds(successes=successes, n=n))


def _summed(cells: Sequence[Cell]) -> Cell:
    return Cell(
        people=sum(cell.people for cell in cells),
        reached=sum(cell.reached for cell in cells),
        converted=sum(cell.converted for cell in cells),
    )


def _items(traits: Sequence[TraitDefinition], *, strategy: str, at: datetime) -> tuple[ItemShare, ...]:
    """Which categories a strategy would show the reached people of each group, on a sample that is always the same."""
    people_reached = Profile.objects.filter(pk__in=RawSQL(f"SELECT profile_id FROM {REACHED}", []))  # noqa: S608, S611
    sample = list(people_reached.order_by("sample_bucket", "pk").values_list("pk", flat=True)[:SAMPLED])
    answers = recommend_many(
        user_ids=[str(pk) for pk in sample], k=SHOWN, strategy=strategy, context={}, at=at, log=False
    )
    slates = {pk: [item.item_id for item in answer.items] for pk, answer in zip(sample, answers, strict=True)}
    categories = item_categories(item_ids={item for items in slates.values() for item in items})
    found: list[ItemShare] = []
    shares = {pk: _category_shares(items, categories) for pk, items in slates.items() if items}
    for trait in traits:
        members: dict[str, list[int]] = {}
        for pk, label in labels_of(trait, list(shares)):
            members.setdefault(label, []).append(pk)
        total = sum((shares[pk] for pks in members.values() for pk in pks), Counter())
        top = [name for name, _n in total.most_common(MOST_CATEGORIES)]
        for label, pks in sorted(members.items()):
            if len(pks) < MINIMUM:
                continue
            for name in top:
                mean, bounds = mean_bounds(values=[shares[pk][name] for pk in pks])
                found.append(ItemShare(f"{trait.name}: {label}", name or _("no category"), len(pks), mean, bounds))
    return tuple(found)


def _category_shares(items: Sequence[str], categories: Mapping[str, str]) -> Counter[str]:
    """Which part of one person's items belongs to each category: people are independent, the items of one are not."""
    counted_items = Counter(categories.get(item, "") for item in items)
    shares: Counter[str] = Counter()
    for name, n in counted_items.items():
        shares[name] = n / len(items)  # type: ignore[assignment] # a share, which Counter adds up as well
    return shares
