"""Forced arms: a signed token shows one arm to whoever checks it, before or after the start; it is never counted.

The token travels in a link, which a browser keeps as a cookie, or in a header of a decision. What is served by it has
the reason `forced` and is in no experiment, so that none of our ways records an exposure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from django.core import signing

from experiments.choices import AssignmentReason
from experiments.errors import UnknownExperiment
from experiments.models import Arm
from experiments.selectors.config import list_configs
from experiments.services.assignment_rules import Assignment

SALT: Final = "experiments.forced-arm"
COOKIE: Final = "holdout_force"
LIFETIME: Final = timedelta(days=7)
"""Long enough for a review, short enough that a forwarded link does not live on."""
MOST_TOKENS: Final = 20
"""Of one request: nobody checks more experiments at a time."""


def force_token(*, experiment_key: str, arm_key: str, at: datetime) -> str:
    """Sign that whoever brings this is shown the arm. Raises `UnknownExperiment` for an arm that is not there."""
    if not Arm.objects.filter(experiment__key=experiment_key, key=arm_key).exists():
        raise UnknownExperiment(f"{experiment_key}/{arm_key}")
    until = int((at + LIFETIME).timestamp())
    return _signer().sign_object({"e": experiment_key, "a": arm_key, "u": until})


def forced_arms(*, tokens: str, at: datetime) -> dict[str, str]:
    """The arm of each experiment that the tokens (separated by commas) force; what is forged or too old is left out."""
    forced: dict[str, str] = {}
    for token in tokens.split(",")[:MOST_TOKENS] if tokens else ():
        try:
            named = _signer().unsign_object(token.strip())
        except (signing.BadSignature, ValueError):
            continue
        if named["u"] >= at.timestamp():
            forced[named["e"]] = named["a"]
    return forced


def force(*, experiment_key: str, forced: Mapping[str, str]) -> Assignment | None:
    """What a forced arm of the experiment serves; None if none is forced. A draft is asked of the database."""
    arm_key = forced.get(experiment_key)
    if arm_key is None:
        return None
    config = list_configs().get(experiment_key)
    known = {arm.key: arm.payload for arm in config.arms} if config is not None else {}
    if arm_key not in known:
        rows = Arm.objects.filter(experiment__key=experiment_key, key=arm_key)
        known = dict(rows.values_list("key", "payload"))
    if arm_key not in known:
        return None
    return Assignment(experiment_key, arm_key, known[arm_key], None, None, AssignmentReason.FORCED, False)


def _signer() -> signing.Signer:
    return signing.Signer(salt=SALT)
