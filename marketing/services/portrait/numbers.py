"""The columns of a profile that formulas may name."""

from __future__ import annotations

from typing import Final

from marketing.segmentation.vocabulary import MICRO

SYSTEM_NUMBERS: Final = {"orders_n": 1, "revenue": MICRO, "birth_year": 1, "marketing_ok": 1}
"""And what their values are divided by."""
