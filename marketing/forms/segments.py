"""The pages of segments: what a segment is called, and what the builder offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django import forms
from django.utils.translation import gettext_lazy

from marketing.choices import ASKED_PURPOSES, Purpose
from marketing.forms.builder import DEEPEST, MOST_GROUPS, Builder, Group, Row
from marketing.segmentation.rules import AGO_OPS, SET_OPS
from marketing.segmentation.vocabulary import OPS, Kind, Vocabulary
from marketing.selectors.rule_words import COUNT_WORDS, OP_WORDS, Names


class SegmentForm(forms.Form):
    """What a segment is called, and whether it is for direct marketing."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=100)
    description = forms.CharField(
        label=gettext_lazy("Description"), required=False, max_length=500, widget=forms.Textarea(attrs={"rows": 2})
    )
    is_marketing = forms.BooleanField(
        label=gettext_lazy("For direct marketing"),
        required=False,
        help_text=gettext_lazy("Whoever objected to direct marketing is never in it."),
    )
    protected_reason = forms.CharField(
        label=gettext_lazy("Why it may use protected traits"),
        required=False,
        max_length=500,
        help_text=gettext_lazy("Only where the rule reads one; the reason is logged with your name."),
    )


@dataclass(frozen=True, slots=True)
class Choices:
    """What a page offers for new conditions and for the parts of each."""

    traits: list[tuple[str, str]]
    events: list[str]
    segments: list[tuple[str, str]]
    purposes: list[tuple[str, str]]
    campaigns: list[tuple[str, str]]


def choices(words: Vocabulary, known: Names, *, without: str = "") -> Choices:
    """Return the conditions that can be added; a segment cannot refer to itself."""
    return Choices(
        traits=sorted(((key, known.traits[key]) for key in words.traits), key=lambda pair: pair[1].lower()),
        events=sorted(words.event_types),
        segments=sorted(
            ((slug, known.segments[slug]) for slug in words.segments if slug != without), key=lambda pair: pair[1]
        ),
        purposes=[(purpose.value, str(purpose.label)) for purpose in ASKED_PURPOSES],
        campaigns=sorted(((slug, known.campaigns[slug]) for slug in words.campaigns), key=lambda pair: pair[1]),
    )


_ROW_OPS: Final[dict[str, tuple[str, ...]]] = {"event": tuple(COUNT_WORDS), "first": AGO_OPS, "last": AGO_OPS}


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group with its rows and the groups in it; `label` is its number, `1.2` the second one in the first."""

    group: Group
    rows: list[RowView]
    inside: list[GroupView]
    label: str
    can_nest: bool


def group_views(
    builder: Builder, words: Vocabulary, known: Names, parent: str = "", label: str = ""
) -> list[GroupView]:
    """Return the groups in a group for the template."""
    views = []
    for number, group in enumerate(builder.inside(parent), start=1):
        name = f"{label}.{number}" if label else str(number)
        inside = group_views(builder, words, known, group.id, name)
        can_nest = builder.depth(group) < DEEPEST and len(builder.groups) < MOST_GROUPS
        views.append(GroupView(group, row_views(group, words, known), inside, name, can_nest))
    return views


@dataclass(frozen=True, slots=True)
class RowView:
    """A row with what its controls offer."""

    row: Row
    number: int
    id: str
    name: str
    ops: list[tuple[str, str]]
    input_type: str


def row_views(group: Group, words: Vocabulary, known: Names) -> list[RowView]:
    """Return the rows of a group for the template."""
    views = []
    for number, row in enumerate(group.rows):
        spec = words.traits.get(row.key) if row.kind == "trait" else None
        ops = OPS[spec.kind] if spec is not None else _ROW_OPS.get(row.kind, ())
        labels = COUNT_WORDS if row.kind == "event" else OP_WORDS
        names = {"trait": known.traits, "segment": known.segments, "sent": known.campaigns}
        name = {kind: found.get(row.key, row.key) for kind, found in names.items()}
        purpose = dict(Purpose.choices).get(row.key, row.key)
        views.append(
            RowView(
                row=row,
                number=number,
                id=f"{group.id}-{number}",
                name=name.get(row.kind, str(purpose)),
                ops=[(op, str(labels[op])) for op in ops],
                input_type=_input_type(spec.kind if spec is not None else None, row.op),
            )
        )
    return views


def _input_type(kind: Kind | None, op: str) -> str:
    if kind == Kind.BOOLEAN:
        return "boolean"
    if kind in (Kind.NUMBER, Kind.MONEY) and op not in SET_OPS:
        return "number"
    if kind == Kind.MOMENT or op in AGO_OPS:
        return "number"
    return "text"
