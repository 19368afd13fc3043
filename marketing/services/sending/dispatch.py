"""Sending what is due: claim → re-check → render → exposure → hand over.

The exposure is recorded when a message has passed everything that can hold it back, by the same line for every arm; the
control's is rendered and withheld. What only a sent message can meet (a refusal, a bounce) is delivery, not exposure:
counting accepted messages only would make the arms unequal.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from experiments.services.assignment import assign_many
from experiments.services.exposure import ExposureRow, record_many
from marketing.channels import Channel, Mail
from marketing.channels.registry import open_email
from marketing.choices import DeliveryStatus, SkipReason
from marketing.creatives.templates import BadTemplate
from marketing.models import Campaign, Delivery
from marketing.segmentation.clock import to_micros
from marketing.selectors.campaigns import ArmConfig, arm_config, arms_of
from marketing.selectors.people import read_columns
from marketing.services.experience import UNIT_TYPE
from marketing.services.sending import audience, breaker, outbox
from marketing.services.sending.handover import CHANNEL, THREADS, Clock, Counter, Prepared, hand_over
from marketing.services.sending.recheck import recheck
from marketing.services.sending.rendering import Letter, Recipient, render
from marketing.services.sending.traits import template_traits
from recommender.errors import RecommenderError
from recommender.reports import Recommendation
from recommender.services.serving import recommend_many

log = logging.getLogger(__name__)

SOURCE: Final = "mail"
BATCH: Final = 200


@dataclass(slots=True)
class Sent:
    """What one run did."""

    frozen: int = 0
    freed: int = 0
    outcomes: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def count(self, what: str, n: int = 1) -> None:
        self.outcomes[what] += n


def send_due(*, clock: Clock, seconds: float, channel: Callable[[], Channel] = open_email) -> Sent:
    """Freeze new audiences and send what is due, for about so many seconds."""
    result = Sent()
    until = clock() + timedelta(seconds=seconds)
    result.freed = outbox.sweep(at=clock())
    for campaign in audience.unfrozen():
        result.frozen += audience.freeze(campaign_id=campaign.pk, at=clock()) or 0
    channels = [channel() for _ in range(THREADS)]
    try:
        with ThreadPoolExecutor(THREADS, thread_name_prefix="mail") as pool:
            counter = Counter(channels, pool, clock, result.count)
            while clock() < until and not breaker.is_open(channel=CHANNEL, at=clock()):
                if not _send_batch(counter, clock, result):
                    break
    finally:
        for one in channels:
            one.close()
    return result


def _send_batch(counter: Counter, clock: Clock, result: Sent) -> bool:
    """Take one batch as far as it goes; False where nothing was due."""
    claim, rows = outbox.claim(limit=BATCH, at=clock())
    if not rows:
        return False
    campaign = Campaign.objects.select_related("sender").get(pk=rows[0].campaign_id)
    at = clock()
    checked = recheck(campaign=campaign, deliveries=rows, at=at)
    for reason, ids in checked.skipped.items():
        result.count(
            reason.value, outbox.settle(ids=ids, claim=claim, status=DeliveryStatus.SKIPPED, at=at, reason=reason)
        )
    for pk, moment in checked.later.items():
        outbox.postpone(ids=[pk], claim=claim, send_at=moment, at=at)
    prepared = _prepare(campaign, checked.ready, claim=claim, at=at, result=result)
    exposed = _expose(campaign, prepared, claim=claim, at=clock(), result=result)
    withheld = [one.delivery.pk for one in exposed if one.is_withheld]
    result.count("withheld", outbox.settle(ids=withheld, claim=claim, status=DeliveryStatus.WITHHELD, at=clock()))
    going = [one for one in exposed if not one.is_withheld]
    hand_over(campaign=campaign, claim=claim, messages=going, counter=counter)
    return True


def _prepare(campaign: Campaign, rows: Sequence[Delivery], *, claim: str, at: datetime, result: Sent) -> list[Prepared]:
    """Assign and render; who cannot be assigned or rendered is skipped, and in no arm."""
    if not rows or campaign.sender is None:
        return []
    arms = {arm.key: arm_config(arm) for arm in arms_of(campaign=campaign)}
    counterfactual = next(arm for arm in arms.values() if not sends_nothing(arm))
    assigned = assign_many(
        experiment_key=campaign.experiment_key,
        unit_type=UNIT_TYPE,
        unit_ids=[str(row.profile_id) for row in rows],
        attributes=read_columns(experiment_key=campaign.experiment_key, profile_ids=[row.profile_id for row in rows]),
        at=at,
    )
    placed = [(row, one) for row, one in zip(rows, assigned, strict=True)]
    outside = {row.pk for row, one in placed if not one.is_in or one.arm_key not in arms}
    result.count(
        "not_assigned",
        outbox.settle(
            ids=outside, claim=claim, status=DeliveryStatus.SKIPPED, at=at, reason=SkipReason.NOT_ASSIGNED.value
        ),
    )
    inside = [(row, one, arms[one.arm_key or ""]) for row, one in placed if row.pk not in outside]
    slates = _slates(campaign, [(row, arm) for row, _, arm in inside], counterfactual, at=at)
    traits = template_traits(profiles=[row.profile for row, _, _ in inside])
    prepared = []
    for row, assignment, arm in inside:
        letter = Letter(
            delivery_id=row.pk,
            campaign_slug=campaign.slug,
            campaign_name=campaign.name,
            sender=campaign.sender,
            # The control's people: the message they would have got, so that what cannot be rendered falls out of
            # both arms alike.
            arm=counterfactual if sends_nothing(arm) else arm,
            recipient=Recipient(
                email=row.profile.email,
                language=row.profile.language,
                traits=traits[row.profile_id],
            ),
            recommendation=slates.get(row.pk),
        )
        mail = _rendered(letter, row, claim=claim, at=at, result=result)
        if mail is not None:
            prepared.append(Prepared(row, assignment, mail, is_withheld=sends_nothing(arm)))
    return prepared


def sends_nothing(arm: ArmConfig) -> bool:
    """Tell whether the arm is the usual control of a sending: its people get no message."""
    return arm.is_control and not arm.subject


def _rendered(letter: Letter, row: Delivery, *, claim: str, at: datetime, result: Sent) -> Mail | None:
    try:
        return render(letter)
    except BadTemplate as error:
        reason = f"{SkipReason.NOT_RENDERED.value}: {error}"
        result.count(
            "not_rendered",
            outbox.settle(ids=[row.pk], claim=claim, status=DeliveryStatus.SKIPPED, at=at, reason=reason),
        )
        return None


def _expose(
    campaign: Campaign, prepared: Sequence[Prepared], *, claim: str, at: datetime, result: Sent
) -> list[Prepared]:
    """Record the exposures of a batch; a row that the experiment refuses goes no further."""
    rows = [
        ExposureRow(
            experiment_key=campaign.experiment_key,
            unit_type=UNIT_TYPE,
            unit_id=str(one.delivery.profile_id),
            arm_key=one.assignment.arm_key or "",
            phase=one.assignment.phase or 0,
            at=to_micros(at),
            source=SOURCE,
            basis={
                "schema": 1,
                "consents": ["marketing_email", *campaign.consent_purposes],
                "segment": campaign.segment_id,
            },
        )
        for one in prepared
    ]
    with transaction.atomic():
        refused = {one.index for one in record_many(rows=rows).rejected}
        moved = [one for index, one in enumerate(prepared) if index not in refused]
        for one in moved:
            if one.delivery.arm_key != one.assignment.arm_key:
                Delivery.objects.filter(pk=one.delivery.pk).update(arm_key=one.assignment.arm_key)
    ids = [prepared[index].delivery.pk for index in refused]
    result.count(
        "not_assigned",
        outbox.settle(ids=ids, claim=claim, status=DeliveryStatus.SKIPPED, at=at, reason=SkipReason.NOT_ASSIGNED.value),
    )
    return moved


def _slates(
    campaign: Campaign, placed: Iterable[tuple[Delivery, ArmConfig]], counterfactual: ArmConfig, *, at: datetime
) -> dict[int, Recommendation]:
    """Return each message's items; an arm whose strategy has none sends its words alone. Nobody sees a withheld one."""
    by_arm: dict[str, list[Delivery]] = defaultdict(list)
    arms: dict[str, ArmConfig] = {}
    for row, arm in placed:
        by_arm[arm.key].append(row)
        arms[arm.key] = arm
    found: dict[int, Recommendation] = {}
    for key, rows in by_arm.items():
        is_silent = sends_nothing(arms[key])
        arm = counterfactual if is_silent else arms[key]
        if not arm.strategy:
            continue
        try:
            slates = recommend_many(
                user_ids=[str(row.profile_id) for row in rows],
                k=arm.item_count,
                strategy=arm.strategy,
                context={"campaign": campaign.slug, "arm": key, "experiment": campaign.experiment_key},
                at=at,
                held_by=campaign.experiment_key,
                log=not is_silent,
            )
            found.update((row.pk, slate) for row, slate in zip(rows, slates, strict=True))
        except RecommenderError:
            log.exception("no recommendations: the words go alone", extra={"strategy": arm.strategy})
    return found
