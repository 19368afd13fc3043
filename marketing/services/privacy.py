"""A person's rights over their data: all of it handed out, all of it deleted.

Erasure deletes now, from every table that names the person. Before that, what the person contributed to the planned
metrics of experiments is frozen without the person, so that reported results stay as they were.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models, transaction
from django.db.models import Q

from experiments.services import freezing
from experiments.services import privacy as experiments
from marketing.choices import IdentityKind
from marketing.errors import UnknownProfile
from marketing.models import (
    Activity,
    ChangedProfile,
    Consent,
    DataRequest,
    DeadLetter,
    Delivery,
    Event,
    Identity,
    Membership,
    MembershipEvent,
    Merge,
    Profile,
    ProfileAlias,
    ProfileNews,
    ProfileTrait,
)
from marketing.selectors.rule_words import Sentence, describe
from marketing.selectors.rule_words import names as rule_names
from marketing.services.archive import export_archived, forget_archived
from marketing.services.membership import uncount
from marketing.services.messages import IdentityKey
from marketing.services.notices import announce
from marketing.services.tombstones import bury
from recommender.services import privacy as recommender

UNIT_TYPE: Final = "profile"
EXPORTS: Final = "exports"
"""The folder of files made for people who asked for their data."""
# Every table with a key of a profile and the fields that hold it, children before parents. A test compares this with
# the models, so that nobody can add a table and forget it here.
TABLES: Final[tuple[tuple[type[models.Model], tuple[str, ...]], ...]] = (
    (Event, ("profile",)),
    (Activity, ("profile",)),
    (ProfileTrait, ("profile",)),
    (ProfileNews, ("profile",)),
    (Consent, ("profile",)),
    (DataRequest, ("profile",)),
    (Delivery, ("profile",)),
    (Membership, ("profile",)),
    (ChangedProfile, ("profile",)),
    (MembershipEvent, ("profile",)),
    (Merge, ("winner", "loser")),
    (ProfileAlias, ("winner", "loser")),
    (Identity, ("profile",)),
    (Profile, ("id", "merged_into")),
)
# What a number stands for in the export, beside the number.
NAMED: Final = {"type": "type__name", "definition": "definition__key", "segment": "segment__slug"}


def export_profile(*, profile_id: int) -> dict[str, Any]:
    """Return every row about the person, ready for JSON: own tables, experiments, recommendations."""
    ids = _all_ids(profile_id)
    own = {model._meta.model_name or "": _rows(model, fields, ids) for model, fields in TABLES}
    units = _units(ids)
    return {
        **own,
        "segments": _logic(ids),
        "archivedevent": export_archived(identity_ids=_identity_ids(ids)),
        "experiments": [row for kind, unit in units for row in experiments.export(unit_type=kind, unit_id=unit)],
        "recommendations": [recommender.export(user_id=str(pk)) for pk in ids],
    }


@transaction.atomic
def erase_profile(*, profile_id: int, at: datetime) -> Counter[str]:
    """Delete every row about the person, those of merged profiles included; return how many there were of each.

    What stays: a tombstone per identity, so that nothing older than `at` comes back, the news for those who got the
    data (until it arrived), and what experiments had measured, without the person.
    """
    ids = _all_ids(profile_id)
    deleted: Counter[str] = Counter()
    units = _units(ids)
    known = _identity_keys(ids)
    deleted["tombstone"] += bury(keys=known, at=at)
    deleted["notice"] += announce(identities=known, at=at)
    freezing.freeze(facts_unit=str(ids[0]), owners=units)
    for kind, unit in units:
        deleted["exposure"] += experiments.forget(unit_type=kind, unit_id=unit)
    for pk in ids:
        deleted["slate"] += recommender.forget(user_id=str(pk)).slates
    deleted["deadletter"] += _forget_letters(ids, known)
    deleted["archivedevent"] += forget_archived(identity_ids=_identity_ids(ids))
    uncount(profile_ids=ids)
    for token in DataRequest.objects.filter(profile__in=ids).values_list("token", flat=True):
        transaction.on_commit(partial((Path(settings.DATA_DIR) / EXPORTS / f"{token}.zip").unlink, missing_ok=True))
    Profile.objects.filter(pk__in=ids).update(merged_into=None)
    for model, fields in TABLES:
        rows = _of(model, fields, ids)
        deleted[model._meta.model_name or ""] += _forget_identities(ids) if model is Identity else rows.delete()[0]
    # Deleting events and exposures marked their units for the next refresh; a mark is a row about the person, too.
    experiments.forget_marks(units=[str(pk) for pk in ids])
    return deleted


def _forget_identities(ids: Sequence[int]) -> int:
    """Delete the identities in SQL: the ORM would look for their events, which no index leads to; they are gone."""
    places = ", ".join(["%s"] * len(ids))
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {Identity._meta.db_table} WHERE profile_id IN ({places})", ids)  # noqa: S608 - places
        return int(cursor.rowcount)


def _all_ids(profile_id: int) -> list[int]:
    """The person's profile and those merged into it; `profile_id` may be any of them."""
    profile = Profile.objects.filter(pk=profile_id).first()
    if profile is None:
        raise UnknownProfile(f"there is no profile {profile_id}")
    living = profile.merged_into_id or profile.pk
    losers = Profile.objects.filter(merged_into=living).order_by("pk").values_list("pk", flat=True)
    return [living, *losers]


def _units(ids: Sequence[int]) -> list[tuple[str, str]]:
    """Under which units experiments may know the person: the profiles, and each identity by its kind."""
    known = Identity.objects.filter(profile__in=ids).order_by("pk").values_list("kind", "value")
    return [(UNIT_TYPE, str(pk)) for pk in ids] + list(known)


def _identity_ids(ids: Sequence[int]) -> list[int]:
    return list(Identity.objects.filter(profile__in=ids).values_list("pk", flat=True))


def _of(model: type[models.Model], fields: Sequence[str], ids: Sequence[int]) -> models.QuerySet[Any]:
    mine = Q()
    for field in fields:
        mine |= Q(**{f"{field}__in": ids})
    return model._default_manager.filter(mine)


def _rows(model: type[models.Model], fields: Sequence[str], ids: Sequence[int]) -> list[dict[str, Any]]:
    names = [NAMED.get(field.name, field.attname) for field in model._meta.concrete_fields]
    rows = _of(model, fields, ids).order_by("pk").values(*names)
    decoded: list[dict[str, Any]] = json.loads(json.dumps(list(rows), cls=DjangoJSONEncoder))
    return decoded


def _logic(ids: Sequence[int]) -> list[dict[str, Any]]:
    """The segments that the person is in with their rules in words: the logic involved (Art. 15(1)(h))."""
    rows = Membership.objects.filter(profile__in=ids).select_related("segment__version").order_by("pk")
    known = rule_names()
    return [
        {
            "segment": row.segment.slug,
            "name": row.segment.name,
            "since": row.entered_at.isoformat(),
            "rule": "" if row.segment.version is None else _spoken(describe(row.segment.version.rule, known)),
        }
        for row in rows
    ]


def _spoken(sentence: Sentence) -> str:
    below = "; ".join(_spoken(part) for part in sentence.parts)
    return f"{sentence.text} ({below})" if below else sentence.text


def _identity_keys(ids: Sequence[int]) -> list[IdentityKey]:
    """By what the person is known, the addresses among the traits included."""
    keys = [(str(kind), value) for kind, value in Identity.objects.filter(profile__in=ids).values_list("kind", "value")]
    addresses = Profile.objects.filter(pk__in=ids).exclude(email="").values_list("email", flat=True)
    return list(dict.fromkeys([*keys, *((IdentityKind.EMAIL.value, address) for address in addresses)]))


def _forget_letters(ids: Sequence[int], known: Sequence[IdentityKey]) -> int:
    """Delete the messages that could not be stored and name the person; payloads are ASCII JSON."""
    deleted = 0
    for value in {value for _kind, value in known}:
        deleted += DeadLetter.objects.filter(payload__icontains=json.dumps(value)).delete()[0]
    for pk in ids:
        deleted += DeadLetter.objects.filter(payload__regex=rf'"profileId": {pk}[,}}]').delete()[0]
    return deleted
