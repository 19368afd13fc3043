"""Declaring traits: stated ones, and computed ones by their recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import transaction

from marketing.choices import Sensitivity, TraitConflict, TraitOrigin, TraitType
from marketing.errors import CannotComputeTraits, CannotDeclareTrait
from marketing.models import ChangeLog, TraitDefinition
from marketing.portrait.recipes import SCHEMA, Computed, RecipeError, parse, value_type
from marketing.segmentation.vocabulary import SYSTEM_TRAITS
from marketing.services.portrait.builtin import BUILTIN
from marketing.services.portrait.numbers import SYSTEM_NUMBERS
from marketing.services.portrait.plan import load_plan

KEY: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
LONGEST_NAME: Final = 100
MOST_COMPUTED: Final = 200
"""Each costs a row a person and a part of each calculation."""


@transaction.atomic
def ensure_builtin_traits() -> None:
    """Declare the built-in computed traits that are missing; what people changed of them stays."""
    known = set(TraitDefinition.objects.values_list("key", flat=True))
    TraitDefinition.objects.bulk_create(
        TraitDefinition(
            key=key,
            name=name,
            type=value_type(parse({"schema": SCHEMA, **recipe})),
            sensitivity=Sensitivity.PERSONAL,
            origin=TraitOrigin.COMPUTED,
            recipe={"schema": SCHEMA, **recipe},
        )
        for key, name, recipe in BUILTIN
        if key not in known
    )


@transaction.atomic
def define_trait(
    *,
    key: str,
    name: str,
    at: datetime,
    actor: User | None = None,
    type_: TraitType = TraitType.TEXT,
    sensitivity: Sensitivity = Sensitivity.NORMAL,
    conflict: TraitConflict = TraitConflict.NEWEST,
    allowed_values: Sequence[str] = (),
    description: str = "",
    recipe: Mapping[str, Any] | None = None,
) -> TraitDefinition:
    """Declare a trait; with a recipe it is computed, and its type is what the recipe makes.

    `CannotDeclareTrait` says what is wrong: with the key, the values, the recipe.
    """
    _check_key(key, name)
    definition = TraitDefinition(
        key=key,
        name=name.strip(),
        type=type_,
        sensitivity=sensitivity,
        conflict=conflict,
        allowed_values=[] if recipe is not None else _allowed(type_, allowed_values),
        description=description.strip(),
    )
    if recipe is not None:
        _compute(definition, recipe)
    definition.save()
    _check_plan(definition)
    _log(definition, "declare", at, actor)
    return definition


@transaction.atomic
def change_recipe(*, key: str, recipe: Mapping[str, Any], at: datetime, actor: User | None = None) -> TraitDefinition:
    """Give a computed trait another recipe of the same type; the next calculation counts everybody."""
    definition = _computed(key)
    old_type = definition.type
    _compute(definition, recipe)
    if definition.type != old_type:
        raise CannotDeclareTrait(
            f"trait {key} is of the type {old_type}, the recipe makes a {definition.type}: declare another trait for it"
        )
    definition.refreshed_at = None
    definition.save(update_fields=["recipe", "refreshed_at"])
    _check_plan(definition)
    _log(definition, "recipe", at, actor)
    return definition


@transaction.atomic
def switch_trait(*, key: str, is_active: bool, at: datetime, actor: User | None = None) -> TraitDefinition:
    """Switch a computed trait on or off; off, its values go with the next calculation."""
    definition = _computed(key)
    definition.is_active = is_active
    definition.refreshed_at = None
    definition.save(update_fields=["is_active", "refreshed_at"])
    _check_plan(definition)
    _log(definition, "switch on" if is_active else "switch off", at, actor)
    return definition


def _computed(key: str) -> TraitDefinition:
    definition = TraitDefinition.objects.select_for_update().filter(key=key).first()
    if definition is None:
        raise CannotDeclareTrait(f"there is no trait {key}")
    if definition.origin != TraitOrigin.COMPUTED:
        raise CannotDeclareTrait(f"trait {key} is stated by people and imports; it has no recipe")
    return definition


def _check_key(key: str, name: str) -> None:
    if not KEY.fullmatch(key):
        raise CannotDeclareTrait(
            f"the key must be small letters, digits and _, beginning with a letter, got {key!r:.80}"
        )
    if key in SYSTEM_TRAITS:
        raise CannotDeclareTrait(f"{key} is kept of everybody already; choose another key")
    if TraitDefinition.objects.filter(key=key).exists():
        raise CannotDeclareTrait(f"there is a trait {key} already; choose another key")
    if not 0 < len(name.strip()) <= LONGEST_NAME:
        raise CannotDeclareTrait(f"the name must have 1 to {LONGEST_NAME} characters, got {name!r:.80}")


def _allowed(type_: TraitType, values: Sequence[str]) -> list[str]:
    found = list(dict.fromkeys(value.strip() for value in values if value.strip()))
    if found and type_ != TraitType.TEXT:
        raise CannotDeclareTrait(f"allowed values belong to a text, not to a {type_}")
    return found


def _compute(definition: TraitDefinition, recipe: Mapping[str, Any]) -> None:
    try:
        parsed = parse(recipe)
    except RecipeError as error:
        raise CannotDeclareTrait(f"the recipe of {definition.key}: {error}") from error
    if definition.sensitivity == Sensitivity.PROTECTED:
        raise CannotDeclareTrait(
            f"{definition.key} cannot be protected: what is protected is stated by the person, never computed"
        )
    if isinstance(parsed, Computed):
        _check_names(definition.key, parsed.formula.names)
    definition.origin, definition.recipe, definition.type = TraitOrigin.COMPUTED, dict(recipe), value_type(parsed)


def _check_names(key: str, names: Sequence[str]) -> None:
    rows = {row.key: row for row in TraitDefinition.objects.filter(key__in=names)}
    for name in names:
        row = rows.get(name)
        if row is None and name not in SYSTEM_NUMBERS:
            raise CannotDeclareTrait(f"the formula of {key} names {name}, which is no trait; see the list of traits")
        if row is not None and row.type == TraitType.TEXT:
            raise CannotDeclareTrait(f"the formula of {key} names {name}, which is a text; formulas take numbers")
        if row is not None and row.sensitivity == Sensitivity.PROTECTED:
            raise CannotDeclareTrait(
                f"the formula of {key} names {name}, which is protected; nothing is computed from it"
            )


def _check_plan(definition: TraitDefinition) -> None:
    """All recipes together can be followed: no circle, not too many."""
    computed = TraitDefinition.objects.filter(origin=TraitOrigin.COMPUTED, is_active=True)
    if definition.origin == TraitOrigin.COMPUTED and computed.count() > MOST_COMPUTED:
        raise CannotDeclareTrait(f"at most {MOST_COMPUTED} traits are computed; switch one off first")
    try:
        load_plan()
    except CannotComputeTraits as error:
        raise CannotDeclareTrait(str(error)) from error


def _log(definition: TraitDefinition, transition: str, at: datetime, actor: User | None) -> None:
    ChangeLog.objects.create(
        object_type="trait",
        object_id=str(definition.pk),
        transition=transition,
        actor=actor,
        at=at,
        message=definition.key,
        snapshot={
            "schema": 1,
            "key": definition.key,
            "name": definition.name,
            "type": definition.type,
            "sensitivity": definition.sensitivity,
            "origin": definition.origin,
            "recipe": definition.recipe,
            "is_active": definition.is_active,
        },
    )
