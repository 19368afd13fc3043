"""One client's question, one experiment's answer: the same `assign` as everywhere, after consent."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError

from experiments.choices import AssignmentReason
from experiments.models.exposure import UNIT_ID_LENGTH
from experiments.selectors.clients import CONSENT, SEGMENTS, hash_attribute, needs_consent
from experiments.selectors.config import ExperimentConfig
from experiments.services.assignment import Assignment, assign
from experiments.services.exposure import is_storable
from experiments.services.forcing import force, forced_arms
from experiments.targeting.bots import is_crawler
from experiments.targeting.signals import opts_out
from experiments.wire.http import Environ

Segments = Callable[[str, str], Sequence[str]]
"""`Gate.segments`: unit type and id → the segments it is in."""
NO_CONSENT: Final = "no_consent"
"""The reason of a unit that is not randomized for want of consent."""
USER_AGENT: Final = "userAgent"
"""The attribute with which a server says what its visitor's browser calls itself."""
LONGEST_AGENT: Final = 500
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


@dataclass(frozen=True, slots=True)
class Asker:
    """What the request itself says: who asks, and which arms its tokens force."""

    is_bot: bool = False
    forced: Mapping[str, str] = field(default_factory=dict)
    opts_out: bool = False
    """By `Sec-GPC`, or `DNT` where that is honored: as without consent, whatever the client says."""


ANYBODY: Final = Asker()


def asker_of(environ: Environ, attributes: Mapping[str, Any], *, at: datetime) -> Asker:
    """Read the asker from the headers and the attributes. A server asks for its visitors by a library: no bot."""
    # Cut: what is asked about is remembered, and a client may send anything.
    is_bot = is_crawler(environ.get("HTTP_USER_AGENT", "")[:LONGEST_AGENT])
    if USER_AGENT in attributes and not is_bot:
        given = attributes[USER_AGENT]
        is_bot = isinstance(given, str) and is_crawler(given[:LONGEST_AGENT])
    tokens = environ.get("HTTP_X_HOLDOUT_FORCE", "")
    is_private = ("HTTP_SEC_GPC" in environ or "HTTP_DNT" in environ) and opts_out(
        gpc=environ.get("HTTP_SEC_GPC", ""), dnt=environ.get("HTTP_DNT", ""), honors_dnt=settings.HONOR_DO_NOT_TRACK
    )
    if not is_bot and not tokens and not is_private:
        return ANYBODY
    return Asker(is_bot, forced_arms(tokens=tokens, at=at), is_private)


def no_segments(_unit_type: str, _unit_id: str) -> Sequence[str]:
    """Nobody is in any."""
    return ()


def evaluate(
    config: ExperimentConfig,
    *,
    unit_id: str,
    attributes: Mapping[str, Any],
    segments: Segments = no_segments,
    at: datetime,
    asker: Asker = ANYBODY,
) -> Assignment:
    """Assign a client's unit. Nobody is randomized without consent, nor is a bot; what was shipped needs none.

    Segments are those that `segments` names, whatever the client says.
    """
    shown = force(experiment_key=config.key, forced=asker.forced) if asker.forced else None
    if shown is not None:
        return shown
    if asker.is_bot and config.shipped is None and config.is_live:
        return Assignment(config.key, None, None, None, None, AssignmentReason.BOT, False)
    if (asker.opts_out or attributes.get(CONSENT) is not True) and needs_consent(config):
        return Assignment(config.key, None, None, None, None, NO_CONSENT, False)
    if not unit_id:
        return Assignment(config.key, None, None, None, None, AssignmentReason.NO_UNIT, False)
    if SEGMENTS in config.reads:
        attributes = {**attributes, SEGMENTS: list(segments(config.unit_type, unit_id))}
    try:
        return assign(
            experiment_key=config.key, unit_type=config.unit_type, unit_id=unit_id, attributes=attributes, at=at
        )
    except DatabaseError:
        # Only an earlier exposure is ever looked up; without it the unit could land in a second arm.
        log.warning("an earlier exposure could not be looked up; the default is served")
        return Assignment(config.key, None, None, None, None, UNAVAILABLE, False)
