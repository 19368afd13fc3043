"""What one wording of a rule says that another did not, line by line in words."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from marketing.models import SegmentVersion
from marketing.selectors.rule_words import Names, Sentence, describe


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a rule in words: `sign` is `+` (new), `-` (gone) or empty; `depth` how far it is inside."""

    sign: str
    depth: int
    text: str


@dataclass(frozen=True, slots=True)
class VersionChange:
    """A version, and what it changed; of the first one everything is new."""

    version: SegmentVersion
    lines: tuple[Line, ...]


def version_changes(versions: Sequence[SegmentVersion], known: Names) -> list[VersionChange]:
    """Return what each version changed, given newest first."""
    told = [[*_told(describe(one.rule, known))] for one in versions]
    before = [*told[1:], []]
    return [
        VersionChange(version, _difference(old, new)) for version, old, new in zip(versions, before, told, strict=True)
    ]


def _told(sentence: Sentence, depth: int = 0) -> Iterator[tuple[int, str]]:
    yield depth, sentence.text
    for part in sentence.parts:
        yield from _told(part, depth + 1)


def _difference(old: Sequence[tuple[int, str]], new: Sequence[tuple[int, str]]) -> tuple[Line, ...]:
    lines: list[Line] = []
    for kind, first, last, begin, end in difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if kind == "equal":
            lines += [Line("", *one) for one in new[begin:end]]
            continue
        lines += [Line("-", *one) for one in old[first:last]]
        lines += [Line("+", *one) for one in new[begin:end]]
    return tuple(lines)
