"""Model files: one uncompressed `.npz` of arrays and one JSON manifest, named by content; never pickle.

The arrays of an uncompressed `.npz` lie in the file as they lie in memory, so that all web workers of a machine share
one memory-mapped copy.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from django.conf import settings

from recommender.errors import UnreadableModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recommender.algorithms.base import Arrays

SCHEMA = 1
ITEM_IDS = "item_ids"
"""Name of the array that maps item indices to item ids."""

LOCAL_HEADER = 30
"""Bytes of a zip member's local header before its name and extra field (APPNOTE 4.3.7)."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model as read from disk."""

    algorithm: str
    item_ids: NDArray[np.str_]
    arrays: Arrays


@dataclass(frozen=True, slots=True)
class WrittenModel:
    """Where a model was written."""

    path: str
    """Relative to the models folder."""
    sha256: str


def models_folder() -> Path:
    """Where model files lie."""
    return settings.DATA_DIR / "models"


def write_model(
    *, folder: str, algorithm: str, item_ids: NDArray[np.str_], arrays: Arrays, about: Mapping[str, Any]
) -> WrittenModel:
    """Writes file and manifest; both appear whole or not at all."""
    target = models_folder() / folder
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, allow_pickle=False, **{ITEM_IDS: item_ids}, **arrays)
        sha256 = file_sha256(Path(temporary))
        path = target / f"{sha256[:32]}.npz"
        manifest = {
            "schema": SCHEMA,
            "algorithm": algorithm,
            "sha256": sha256,
            "arrays": {name: [str(array.dtype), list(array.shape)] for name, array in arrays.items()},
            "about": dict(about),
        }
        manifest_path(path).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return WrittenModel(path=str(path.relative_to(models_folder())), sha256=sha256)


def read_model(*, path: str, sha256: str) -> StoredModel:
    """Checks schema and checksum, then maps the arrays; raises `UnreadableModel`."""
    file = models_folder() / path
    try:
        manifest = json.loads(manifest_path(file).read_text(encoding="utf-8"))
        if manifest.get("schema") != SCHEMA:
            raise UnreadableModel(f"{path}: unknown schema {manifest.get('schema')!r}")
        if file_sha256(file) != sha256:
            raise UnreadableModel(f"{path}: the checksum differs, the file was changed")
        arrays = _mapped_arrays(file)
        item_ids = arrays.pop(ITEM_IDS)
    except (OSError, ValueError, KeyError, AttributeError, zipfile.BadZipFile, struct.error) as error:
        raise UnreadableModel(f"{path}: {error}") from error
    return StoredModel(algorithm=str(manifest["algorithm"]), item_ids=item_ids, arrays=arrays)


def delete_model(*, path: str) -> None:
    """Removes file and manifest if they are there."""
    file = models_folder() / path
    file.unlink(missing_ok=True)
    manifest_path(file).unlink(missing_ok=True)


def manifest_path(file: Path) -> Path:
    """The manifest beside a model file."""
    return file.with_suffix(".json")


def file_sha256(path: Path) -> str:
    """Checksum of a file, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mapped_arrays(file: Path) -> Arrays:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    return {member.filename.removesuffix(".npy"): _mapped(file, member) for member in members}


def _mapped(path: Path, member: zipfile.ZipInfo) -> NDArray[Any]:
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member.filename} is compressed")
    with path.open("rb") as file:
        file.seek(member.header_offset + LOCAL_HEADER - 4)
        name_length, extra_length = struct.unpack("<HH", file.read(4))
        file.seek(name_length + extra_length, os.SEEK_CUR)
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read_header(file)
        offset = file.tell()
    if dtype.hasobject:
        raise ValueError(f"{member.filename} holds Python objects")
    if 0 in shape:
        return np.empty(shape, dtype=dtype)
    order: Literal["C", "F"] = "F" if fortran_order else "C"
    return np.asarray(np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order=order))
