"""The documentation names what exists, and every public function shows how it is used."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest

import experiments.stats

PAGE = Path(__file__).resolve().parents[3] / "docs" / "statistics.md"
MODULES = [
    importlib.import_module(f"experiments.stats.{found.name}")
    for found in pkgutil.iter_modules(experiments.stats.__path__)
]


def functions(module: ModuleType) -> list[tuple[str, object]]:
    return [
        (name, member)
        for name, member in inspect.getmembers(module, inspect.isfunction)
        if not name.startswith("_") and member.__module__ == module.__name__
    ]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_public_functions__docstring__holds_an_example(module: ModuleType) -> None:
    assert inspect.getdoc(module)
    for name, member in functions(module):
        assert ">>>" in (inspect.getdoc(member) or ""), f"{module.__name__}.{name} shows no example"


def test_capability_table__names__exist() -> None:
    rows = PAGE.read_text(encoding="utf-8").partition("## What is there")[2].partition("## Formulas")[0]
    cells = [line.split("|")[2] for line in rows.splitlines() if line.startswith("| ")][2:]
    assert len(cells) > 30
    for cell in cells:
        module = None
        for name in re.findall(r"`([\w.]+)`", cell):
            head, _, tail = name.partition(".")
            if tail:
                module = importlib.import_module(f"experiments.stats.{head}")
            assert module is not None, f"{cell} begins without its module"
            assert hasattr(module, tail or head), f"{name} is not in {module.__name__}"


def test_page__every_module_with_functions__is_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for module in MODULES:
        name = module.__name__.rpartition(".")[2]
        if functions(module):
            assert re.search(rf"`{name}[.`]", text), f"{name} is not in docs/statistics.md"
