from __future__ import annotations

import pytest
from django.utils import translation

from marketing.templatetags.marketing_tags import money, transition


@pytest.mark.parametrize(
    ("micro", "currency", "text"),
    [
        (12_500_000, "USD", "12.50 USD"),
        (0, "", "0.00 EUR"),
        (None, "EUR", ""),
        (1_234_567_890_000, "EUR", "1234567.89 EUR"),
        (1_996_000, "EUR", "2.00 EUR"),
    ],
)
def test_money__micro_units__are_an_amount(micro: int | None, currency: str, text: str) -> None:
    with translation.override("en"):
        assert money(micro, currency) == text


def test_money__german__has_a_comma() -> None:
    with translation.override("de"):
        assert money(12_500_000, "EUR") == "12,50 EUR"


def test_transition__known_and_unknown__have_a_word() -> None:
    assert transition("launch") == "Launch"
    assert transition("create") == "Made"
    assert transition("teleport") == "teleport"
