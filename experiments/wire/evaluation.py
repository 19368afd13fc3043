"""One client's question, one experiment's answer: the same `assign` as everywhere, after consent."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db import DatabaseError

from experiments.choices import AssignmentReason
from experiments.models.exposure import UNIT_ID_LENGTH
from experiments.selectors.clients import CONSENT, hash_attribute, needs_consent
from experiments.selectors.config import ExperimentConfig
from experiments.services.assignment import Assignment, assign
from experiments.services.exposure import is_storable

NO_CONSENT: Final = "no_consent"
"""The reason of a unit that is not randomized for want of consent."""
UNAVAILABLE: Final = "unavailable"
"""The reason of a unit whose earlier arm cannot be looked up while the database is down."""
log = logging.getLogger(__name__)


def unit_of(config: ExperimentConfig, attributes: Mapping[str, Any], *, default: str = "") -> str:
    """The unit's id among a client's attributes; `default` where they do not name one, empty for nonsense."""
    given = attributes.get(hash_attribute(config.unit_type))
    if given is None:
        return default
    if type(given) is int and abs(given) < 2**63:
        given = str(given)
    return given if isinstance(given, str) and is_usable(given) else ""


def is_usable(unit_id: str) -> bool:
    """Whether an id can be stored by every database: only such units are assigned, or they would be lost later."""
    return len(unit_id) <= UNIT_ID_LENGTH and is_storable(unit_id)


def evaluate(config: ExperimentConfig, *, unit_id: str, attributes: Mapping[str, Any], at: datetime) -> Assignment:
    """Assign a client's unit. Nobody is randomized without consent; what has been shipped needs none."""
    if attributes.get(CONSENT) is not True and needs_consent(config):
        return Assignment(config.key, None, None, None, None, NO_CONSENT, False)
    if not unit_id:
        return Assignment(config.key, None, None, None, None, AssignmentReason.NO_UNIT, False)
    try:
        return assign(
            experiment_key=config.key, unit_type=config.unit_type, unit_id=unit_id, attributes=attributes, at=at
        )
    except DatabaseError:
        # Only an earlier exposure is ever looked up; without it the unit could land in a second arm.
        log.warning("an earlier exposure could not be looked up; the default is served")
        return Assignment(config.key, None, None, None, None, UNAVAILABLE, False)
