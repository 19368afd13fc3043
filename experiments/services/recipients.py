"""Who hears of alerts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from experiments.channels.webhook import check_url
from experiments.choices import AlertKind, RecipientKind
from experiments.errors import InvalidDesign, Reason, UnknownExperiment
from experiments.models import Experiment, Recipient
from experiments.services.webhooks import secret_of


def add_recipient(
    *,
    kind: str,
    address: str,
    at: datetime,
    kinds: Sequence[str] = (),
    experiment_key: str = "",
    actor: User | None = None,
) -> Recipient:
    """Tell this address of alerts from now on. Raises `InvalidDesign` with what is wrong, `UnknownExperiment`."""
    reasons = [*_flaws(kind, address), *_unknown(kinds)]
    if reasons:
        raise InvalidDesign(reasons)
    experiment = None
    if experiment_key:
        experiment = Experiment.objects.filter(key=experiment_key).first()
        if experiment is None:
            raise UnknownExperiment(experiment_key)
    try:
        with transaction.atomic():
            return Recipient.objects.create(
                kind=kind, address=address, kinds=list(kinds), experiment=experiment, created_at=at, created_by=actor
            )
    except IntegrityError:
        known = _("“%(address)s” hears of these alerts already.") % {"address": address}
        raise InvalidDesign([Reason("address_known", known)]) from None


def remove_recipient(*, recipient_id: int) -> bool:
    """Tell this address nothing more; what waits for it is dropped. Whether there was one."""
    return bool(Recipient.objects.filter(pk=recipient_id).delete()[0])


def signing_secret(recipient: Recipient) -> str:
    """The secret that a receiver checks signatures with: derived, so that the database does not hold it."""
    return secret_of(purpose="alerts", nonce=recipient.nonce)


def _flaws(kind: str, address: str) -> list[Reason]:
    if kind == RecipientKind.WEBHOOK:
        try:
            check_url(address)
        except ValueError as error:
            text = _("“%(address)s” cannot be called: %(error)s.") % {"address": address, "error": error}
            return [Reason("address", text)]
        return []
    try:
        validate_email(address)
    except ValidationError:
        return [Reason("address", _("“%(address)s” is no e-mail address.") % {"address": address})]
    return []


def _unknown(kinds: Sequence[str]) -> list[Reason]:
    return [
        Reason("kinds", _("There is no alert “%(kind)s”.") % {"kind": kind})
        for kind in kinds
        if kind not in AlertKind.values
    ]
