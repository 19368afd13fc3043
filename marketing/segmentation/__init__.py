"""Rules over people: the tree, its SQL, its Python form. Pure: no Django, no clock."""

from __future__ import annotations
