"""Making profiles and stating traits of them, one by one or in bulk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from marketing.choices import Sensitivity, TraitType
from marketing.models import Identity, Profile, Source, TraitDefinition
from marketing.segmentation.clock import to_micros
from marketing.services.allocation import insert_profiles
from marketing.services.bulk import insert_new
from marketing.services.messages import IdentityKey, normalized
from marketing.services.traits import Statement, apply


@dataclass(frozen=True, slots=True)
class NewProfile:
    """A person to be made: at least one identity, and what is known already."""

    identities: Sequence[IdentityKey]
    traits: Mapping[str, Any] = field(default_factory=dict)


def create_profile(
    *, identities: Sequence[IdentityKey], traits: Mapping[str, Any], at: datetime, is_demo: bool = False
) -> Profile:
    """Make one profile; its identities must be unknown."""
    new = NewProfile(identities=identities, traits=traits)
    return Profile.objects.get(pk=create_profiles(rows=[new], at=at, is_demo=is_demo)[0])


@transaction.atomic
def create_profiles(*, rows: Sequence[NewProfile], at: datetime, is_demo: bool = False) -> list[int]:
    """Make profiles whose identities are all unknown; return their keys in the order of the rows."""
    ids = insert_profiles(count=len(rows), is_demo=is_demo, at=at)
    stamp = connection.ops.adapt_datetimefield_value(at)
    identities = [
        (str(kind), normalized(kind, value), profile_id, stamp)
        for profile_id, row in zip(ids, rows, strict=True)
        for kind, value in row.identities
    ]
    made = insert_new(
        model=Identity,
        columns=("kind", "value", "profile_id", "created_at"),
        rows=identities,
        key="kind || ':' || value",
    )
    if len(made) < len(identities) or any(not row.identities for row in rows):
        raise ValueError("each new profile must have identities, and nobody else may have them")
    micros = to_micros(at)
    apply(
        statements=[
            Statement(profile_id, micros, row.traits) for profile_id, row in zip(ids, rows, strict=True) if row.traits
        ],
        source_id=None,
    )
    return ids


@transaction.atomic
def set_traits(
    *, profile_id: int, traits: Mapping[str, Any], at: datetime, source: Source | None = None
) -> Counter[str]:
    """State traits of one profile; return the names that were left out."""
    statement = Statement(profile_id, to_micros(at), traits)
    return apply(statements=[statement], source_id=None if source is None else source.pk)


def declare_trait(
    *,
    key: str,
    name: str,
    type_: TraitType,
    sensitivity: Sensitivity = Sensitivity.NORMAL,
    allowed_values: Sequence[str] = (),
    is_demo: bool = False,
) -> TraitDefinition:
    """Declare a trait, so that it is kept from now on; an existing one is returned as it is."""
    definition, _ = TraitDefinition.objects.get_or_create(
        key=key,
        defaults={
            "name": name,
            "type": type_,
            "sensitivity": sensitivity,
            "allowed_values": list(allowed_values),
            "is_demo": is_demo,
        },
    )
    return definition
