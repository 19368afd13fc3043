"""What assignment knows, kept in a file: a process that starts while the database is down goes on from it.

JSON, read back by the types of the dataclasses. A file that another version of the code wrote is not read.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
import os
import types
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from experiments.targeting.tree import Rule, decode, encode

Kept = TypeVar("Kept")
_UNIONS: Final = (Union, types.UnionType)
logger = logging.getLogger(__name__)


def save(file: Path, kept: object) -> None:
    """Put a dataclass into the file; where that fails, whoever knows it goes on all the same."""
    content = {"shape": shape_of(type(kept)), "kept": _packed(type(kept), kept)}
    draft = file.with_suffix(f".{os.getpid()}")
    try:
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(content))
        draft.replace(file)
    except OSError:
        logger.warning("experiments.config: what is known could not be kept in %s", file)


def load(file: Path, kind: type[Kept]) -> Kept | None:
    """Return what the file holds; None where there is none of this shape."""
    try:
        content = json.loads(file.read_bytes())
        if content["shape"] != shape_of(kind):
            return None
        kept: Kept = _unpacked(kind, content["kept"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return kept


def shape_of(kind: type) -> str:
    """The names and types of all fields, as text."""
    seen: dict[str, str] = {}

    def look(one: Any) -> None:
        if dataclasses.is_dataclass(one) and isinstance(one, type) and one.__name__ not in seen:
            hints = get_type_hints(one)
            seen[one.__name__] = ",".join(f"{name}:{hint}" for name, hint in hints.items())
            for hint in hints.values():
                look(hint)
        for part in () if one == Rule else get_args(one):
            look(part)

    look(kind)
    return ";".join(f"{name}({fields})" for name, fields in sorted(seen.items()))


def _packed(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    if kind == Rule:
        return encode(value)
    if get_origin(kind) in _UNIONS:
        return _packed(_given(kind), value)
    if dataclasses.is_dataclass(kind):
        assert isinstance(kind, type)
        return {name: _packed(hint, getattr(value, name)) for name, hint in get_type_hints(kind).items()}
    origin = get_origin(kind)
    if origin in (tuple, frozenset):
        return [_packed(get_args(kind)[0], one) for one in value]
    if origin is Mapping:
        return {key: _packed(get_args(kind)[1], one) for key, one in value.items()}
    if kind is datetime:
        return value.isoformat()
    return base64.b64encode(value).decode() if kind is bytes else value


def _unpacked(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    if kind == Rule:
        return decode(value)
    if get_origin(kind) in _UNIONS:
        return _unpacked(_given(kind), value)
    if dataclasses.is_dataclass(kind):
        assert isinstance(kind, type)
        return kind(**{name: _unpacked(hint, value[name]) for name, hint in get_type_hints(kind).items()})
    origin = get_origin(kind)
    if origin in (tuple, frozenset):
        return origin(_unpacked(get_args(kind)[0], one) for one in value)
    if origin is Mapping:
        return {key: _unpacked(get_args(kind)[1], one) for key, one in value.items()}
    if kind is datetime:
        return datetime.fromisoformat(value)
    return base64.b64decode(value) if kind is bytes else value


def _given(union: Any) -> Any:
    """The type of an optional value, where there is one."""
    return next(part for part in get_args(union) if part is not type(None))
