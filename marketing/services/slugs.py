"""Slugs made of names."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from django.db.models import QuerySet
from django.utils.text import slugify

LENGTH: Final = 56
"""Of the 64 characters of a slug: leaves room for a number at the end."""


def unused_slug(name: str, *, rows: QuerySet[Any], reserved: Collection[str], usual: str) -> str:
    """Return a slug of the name that is neither reserved nor one of the rows'; `usual` for a name without letters."""
    base = slugify(name)[:LENGTH] or usual
    taken = {*reserved, *rows.filter(slug__startswith=base).values_list("slug", flat=True)}
    return next(one for one in (base, *(f"{base}-{n}" for n in range(2, len(taken) + 3))) if one not in taken)
