"""Consents that a file of people brings along, from wherever they were given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from marketing.choices import LawfulBasis, Purpose
from marketing.errors import BadTrait
from marketing.models import Consent
from marketing.segmentation.clock import to_micros
from marketing.services.bulk import select_by
from marketing.services.consent import Statement, record_consents
from marketing.services.mapping import RowMapping, moment_text
from marketing.services.messages import BadMessage, IdentityKey, moment
from marketing.services.resolution import find
from marketing.services.traits import truth

SOURCE: Final = "import"
LONGEST_VERSION: Final = 40


@dataclass(frozen=True, slots=True)
class ImportedConsent:
    """One yes or no of the person with this identity."""

    identity: IdentityKey
    purpose: Purpose
    granted: bool
    at: int
    text_version: str
    row: int


def read_consents(
    fields: Mapping[str, Any], *, identity: IdentityKey, row: int, mapping: RowMapping, at: datetime, file_name: str
) -> list[ImportedConsent]:
    """Return what a row's fields say; `BadMessage` says which value is neither yes nor no."""
    given = dict(fields)
    stated = given.pop("at", None)
    version = str(given.pop("text_version", f"import:{file_name}"))[:LONGEST_VERSION]
    micros = to_micros(at if stated is None else moment(moment_text(stated, mapping)))
    if micros > to_micros(at):
        raise BadMessage("consent_at lies in the future")
    found = []
    for name, value in given.items():
        if name not in Purpose.values:
            raise BadMessage(f"there is no purpose {name}; there are {', '.join(Purpose.values)}")
        try:
            granted = truth(f"consent_{name}", value)
        except BadTrait as error:
            raise BadMessage(str(error)) from error
        found.append(ImportedConsent(identity, Purpose(name), granted, micros, version, row))
    return found


def store_consents(consents: Sequence[ImportedConsent], *, file_name: str) -> int:
    """Append what changes the state at its moment; the same file read again changes nothing."""
    people = find({one.identity for one in consents})
    known = _states({person.profile_id for person in people.values()})
    statements = []
    for one in consents:
        profile_id = people[one.identity].profile_id
        history = known.setdefault((profile_id, one.purpose.value), [])
        before = [granted for at, granted in history if at <= one.at]
        if before and before[-1] == one.granted:
            continue
        history.append((one.at, one.granted))
        history.sort(key=lambda pair: pair[0])
        statements.append(
            Statement(
                profile_id=profile_id,
                purpose=one.purpose,
                granted=one.granted,
                text_version=one.text_version,
                text=one.text_version,
                source=SOURCE,
                at=one.at,
                lawful_basis=LawfulBasis.CONSENT,
                evidence={"file": file_name, "row": one.row},
            )
        )
    record_consents(statements=statements)
    return len(statements)


def _states(profile_ids: set[int]) -> dict[tuple[int, str], list[tuple[int, bool]]]:
    """The statements of these people by purpose, oldest first."""
    rows = select_by(
        sql=f"SELECT profile_id, purpose, at, granted FROM {Consent._meta.db_table} "  # noqa: S608 - constants
        "WHERE profile_id IN {values} ORDER BY at, id",
        values=profile_ids,
    )
    states: dict[tuple[int, str], list[tuple[int, bool]]] = {}
    for profile_id, purpose, at, granted in rows:
        states.setdefault((profile_id, purpose), []).append((at, bool(granted)))
    return states
