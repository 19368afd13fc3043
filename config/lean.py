"""Importing a library without what it would import merely because it is installed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Collection


def import_without(module: str, *, absent: Collection[str]) -> None:
    """Import `module` as if the libraries `absent` were not installed; whoever asks for these later finds them.

    The module must be able to do without: Python's `import` sees None in `sys.modules` as ModuleNotFoundError.
    """
    hidden = [name for name in absent if name not in sys.modules]
    sys.modules |= dict.fromkeys(hidden)  # type: ignore[arg-type]  # None is what stands for "not there"
    try:
        importlib.import_module(module)
    finally:
        for name in hidden:
            del sys.modules[name]
