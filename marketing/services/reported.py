"""Exposures that clients report as `Experiment Viewed`: which unit saw which arm, by what right, and who is nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from experiments.ports import is_crawler
from experiments.selectors import unit_types
from experiments.services.exposure import ExposureRow
from marketing.choices import IdentityKind
from marketing.models import Source
from marketing.services.messages import Message
from marketing.services.resolution import People

PROFILE: Final = "profile"
BASIS_SCHEMA: Final = 1
BOT: Final = "bot"
"""Why an exposure is not counted: what calls itself a crawler saw it."""
NOT_IN: Final = "not_in_experiment"
"""Why an exposure is not counted: the client says itself that the arm was forced, shipped or the default."""


def exposure_rows(
    *, messages: Sequence[Message], people: People, source: Source
) -> tuple[list[ExposureRow], Counter[str]]:
    """The exposures among reported views, and how many were left out, by reason."""
    kinds = unit_types(experiment_keys={_key(message) for message in messages})
    rows, left_out = [], Counter[str]()
    for message in messages:
        reason = _why_not(message)
        if reason:
            left_out[reason] += 1
        else:
            rows.append(_row(message, people, source, kinds))
    return rows, left_out


def _why_not(message: Message) -> str:
    if message.props.get("in_experiment") is False:
        return NOT_IN
    return BOT if is_crawler(message.user_agent) else ""


def _row(message: Message, people: People, source: Source, kinds: Mapping[str, str]) -> ExposureRow:
    """Read key and arm; whose id it is says the experiment, unless the client does."""
    props = message.props
    person = people.of(message)
    unit_type = str(props.get("unit_type") or kinds.get(_key(message), PROFILE))
    unit_id = "" if person is None else str(person.profile_id)
    if unit_type == IdentityKind.ANONYMOUS:
        known = (message.identity, *message.also)
        unit_id = next((key[1] for key in known if key is not None and key[0] == IdentityKind.ANONYMOUS), "")
    elif unit_type == IdentityKind.USER_ID:
        unit_id = message.identity[1] if message.identity and message.identity[0] == IdentityKind.USER_ID else ""
    elif unit_type != PROFILE:
        unit_id = message.group_id
    return ExposureRow(
        experiment_key=_key(message),
        unit_type=unit_type,
        unit_id=unit_id,
        arm_key=str(props.get("variation_id", "")),
        phase=_phase(props),
        at=message.at,
        source=source.name,
        basis=_basis(message),
    )


def _key(message: Message) -> str:
    return str(message.props.get("experiment_id", ""))


def _phase(props: Mapping[str, Any]) -> int | None:
    """The phase that the client names; None: the one in force at that moment. Nonsense is no phase."""
    given = props.get("phase")
    if isinstance(given, str) and given.isdecimal() and len(given) < len(str(2**31)):
        given = int(given)  # the payload of feature flags has it as a text
    if given is None or given == "":
        return None
    return given if type(given) is int and 0 < given < 2**31 else 0


def _basis(message: Message) -> dict[str, Any]:
    """By what right and rule the arm was served, as the client says it, and the message that proves it."""
    props = message.props
    return {
        "schema": BASIS_SCHEMA,
        "message": message.message_id,
        "consent": props.get("consent") if isinstance(props.get("consent"), bool) else None,
        "phase": _phase(props),
        "reason": str(props.get("reason", ""))[:32],
    }
