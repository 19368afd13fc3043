"""What a template may say of people: their traits but the protected ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from marketing.choices import Sensitivity
from marketing.models import Profile, ProfileTrait


def template_traits(*, profiles: Sequence[Profile]) -> dict[int, dict[str, Any]]:
    """Return by profile what `person.…` stands for in a message; one query."""
    found: dict[int, dict[str, Any]] = {
        profile.pk: {"language": profile.language, "country": profile.country} for profile in profiles
    }
    rows = ProfileTrait.objects.filter(profile_id__in=list(found))
    rows = rows.exclude(definition__sensitivity=Sensitivity.PROTECTED)
    for profile_id, key, text, number in rows.values_list("profile_id", "definition__key", "text", "number"):
        found[profile_id][key] = text if text is not None else number
    return found
