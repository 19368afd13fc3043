"""Targeting rules over a unit's attributes: one tree, evaluated in Python or by the clients themselves.

Meaning, the same in every form:

- An attribute that is absent or null is *missing*. A missing attribute equals nothing, is in nothing, and is
  neither above nor below anything. So `ne` and `not_in` hold for it, `not` of a failing condition holds, and
  `exists` is the way to ask for it.
- Types never mix: the number 1, the text "1" and true are three values. `gt`, `gte`, `lt`, `lte` order two
  numbers, or two texts by their UTF-16 code units; everything else is neither above nor below.
- An attribute may be a list. `contains` asks whether an element equals the value, `in` whether any element is
  among the values; `eq` never holds for a list. A unit's segments are such a list, `segments`.
- `all` of nothing is everyone; `any` of nothing is refused as a mistake.
"""

from __future__ import annotations
