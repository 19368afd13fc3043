"""What the rules of segments refer to: other segments, and the traits that the law protects."""

from __future__ import annotations

import graphlib
import time
from collections.abc import Mapping
from typing import Final

from marketing.choices import Sensitivity
from marketing.models import Segment, TraitDefinition
from marketing.segmentation.rules import Node, Trait, parse, segments_of, walk

NEUTRAL_SECONDS: Final = 30.0
"""A page may go by what was known so long ago: to read every rule for every slate costs more than the slate."""


def refresh_order() -> list[int]:
    """Return the living segments with a rule so that one comes after those that its rule reads the members of."""
    direct = _direct_references()
    living = dict(Segment.objects.filter(archived_at=None, slug__in=direct).order_by("pk").values_list("slug", "pk"))
    graph = {slug: direct[slug] & living.keys() for slug in living}
    return [living[slug] for slug in graphlib.TopologicalSorter(graph).static_order()]


def references(slug: str) -> set[str]:
    """Return the segments that a segment's members depend on, directly or through others."""
    return _reached(slug, _direct_references())


def path_to(first: str, last: str) -> list[str]:
    """Return a way from one segment to another along what their rules refer to, both included; empty: none."""
    direct = _direct_references()
    came_from: dict[str, str] = {first: ""}
    waiting = [first]
    while waiting:
        here = waiting.pop(0)
        if here == last:
            path = [here]
            while came_from[path[0]]:
                path.insert(0, came_from[path[0]])
            return path
        for one in sorted(direct.get(here, set()) - came_from.keys()):
            came_from[one] = here
            waiting.append(one)
    return []


def referrers(slug: str) -> list[str]:
    """Return the living segments whose members depend on a segment's, directly or through others."""
    direct = _direct_references()
    living = Segment.objects.filter(archived_at=None).exclude(slug=slug).order_by("slug").values_list("slug", flat=True)
    return [one for one in living if slug in _reached(one, direct)]


def referred_segments() -> set[str]:
    """Return the segments that other segments' rules name."""
    return {slug for found in _direct_references().values() for slug in found}


def neutral_segments() -> dict[int, str]:
    """Return the slugs of the living segments that use no protected trait, by row: neither themselves nor by another.

    What a recommender learns from them, it learns from nothing that the law protects.
    """
    protected = set(TraitDefinition.objects.filter(sensitivity=Sensitivity.PROTECTED).values_list("key", flat=True))
    rules = _rules()
    tainted = {
        slug
        for slug, rule in rules.items()
        if any(isinstance(one, Trait) and one.key in protected for one in walk(rule))
    }
    while more := {slug for slug, rule in rules.items() if segments_of(rule) & tainted} - tainted:
        tainted |= more
    return dict(Segment.objects.filter(archived_at=None).exclude(slug__in=tainted).values_list("pk", "slug"))


_neutral: list[tuple[float, dict[int, str]]] = []


def recent_neutral_segments() -> dict[int, str]:
    """Return `neutral_segments`, at most `NEUTRAL_SECONDS` old."""
    now = time.monotonic()
    if not _neutral or now - _neutral[0][0] >= NEUTRAL_SECONDS:
        _neutral[:] = [(now, neutral_segments())]
    return _neutral[0][1]


def forget_neutral_segments() -> None:
    """Forget what this process knows of segments."""
    _neutral.clear()


def _reached(slug: str, direct: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [slug]
    while waiting:
        for one in direct.get(waiting.pop(), set()) - found:
            found.add(one)
            waiting.append(one)
    return found


def _direct_references() -> dict[str, set[str]]:
    return {slug: segments_of(rule) for slug, rule in _rules().items()}


def _rules() -> dict[str, Node]:
    """The rules in force, by the segment's slug."""
    rows = Segment.objects.filter(version__isnull=False).order_by("pk").values_list("slug", "version__rule")
    return {slug: parse(rule) for slug, rule in rows}
