"""Protected traits: none is used without a recorded legal basis, and none in a segment without a logged override."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from marketing.choices import Sensitivity, SpecialBasis
from marketing.errors import ProtectedTrait
from marketing.models import ChangeLog, TraitBasis, TraitDefinition
from marketing.segmentation.rules import Trait, parse, walk

OVERRIDE: Final = "use protected traits"
"""The transition in the change log."""


def protected_in(rule: Any) -> list[TraitDefinition]:
    """Return the protected traits that a stored rule reads."""
    keys = {node.key for node in walk(parse(rule)) if isinstance(node, Trait)}
    return protected_among(keys)


def protected_among(keys: Iterable[str]) -> list[TraitDefinition]:
    """Return those of the traits that are protected, each with its legal basis, in the order of their keys."""
    rows = TraitDefinition.objects.filter(key__in=list(keys), sensitivity=Sensitivity.PROTECTED)
    return list(rows.select_related("basis").order_by("key"))


def demand_basis(traits: Iterable[TraitDefinition]) -> None:
    """Raise `ProtectedTrait` if one of them has no recorded basis of Art. 9(2)."""
    missing = [trait.key for trait in traits if getattr(trait, "basis", None) is None]
    if missing:
        raise ProtectedTrait(
            _("No legal basis is recorded for %(traits)s. Record one in the admin, under “legal bases of traits”.")
            % {"traits": ", ".join(missing)}
        )


@transaction.atomic
def record_basis(
    *, definition: TraitDefinition, basis: SpecialBasis, reason: str, at: datetime, actor: User | None = None
) -> TraitBasis:
    """Record on what legal basis a protected trait is kept and reported on."""
    row, _is_new = TraitBasis.objects.update_or_create(
        definition=definition,
        defaults={"basis": basis, "reason": reason, "recorded_at": at, "recorded_by": actor},
    )
    about = ("trait", definition.pk)
    _log(about, "record legal basis", at, actor, reason, trait=definition.key, basis=basis.value)
    return row


def check_use(
    *, about: tuple[str, int | str], traits: Iterable[TraitDefinition], reason: str, at: datetime, actor: User | None
) -> None:
    """Let a segment or a recommender's feature use protected traits: with a basis, and a reason that is logged.

    A use that was logged before with the same traits needs no second reason.
    """
    used = list(traits)
    if not used:
        return
    demand_basis(used)
    keys = [trait.key for trait in used]
    if not reason.strip():
        known = ChangeLog.objects.filter(object_type=about[0], object_id=str(about[1]), transition=OVERRIDE)
        allowed = {key for snapshot in known.values_list("snapshot", flat=True) for key in snapshot["traits"]}
        if allowed.issuperset(keys):
            return
        raise ProtectedTrait(
            _("%(traits)s is protected. Using it needs a reason, which is logged.") % {"traits": ", ".join(keys)}
        )
    _log(about, OVERRIDE, at, actor, reason.strip(), traits=keys)


def _log(
    about: tuple[str, int | str], transition: str, at: datetime, actor: User | None, message: str, **snapshot: Any
) -> None:
    object_type, object_id = about
    ChangeLog.objects.create(
        object_type=object_type,
        object_id=str(object_id),
        transition=transition,
        actor=actor,
        at=at,
        message=message,
        snapshot={"schema": 1, **snapshot},
    )
