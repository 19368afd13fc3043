from __future__ import annotations

import doctest

import pytest

from marketing.creatives import lint as module
from marketing.creatives.lint import bad_links, lint


def test_examples__hold() -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        ({"subject": "BIG SALE"}, ["shouting"]),
        ({"subject": "TV"}, []),
        ({"subject": "Now!!"}, ["exclamation"]),
        ({"subject": "x" * 61}, ["long_subject"]),
        ({"subject": "{{ person.first_name | default: 'you' }}, we have picked something for you"}, []),
        ({"body": "<p>Risk-free and GUARANTEED</p>"}, ["spam_word", "spam_word"]),
        ({"body": "guaranteedly"}, []),
        ({"body": '<img src="a.png" alt="A cup"><img src="b.png" alt="">'}, ["no_alt"]),
        ({"body": '<a href="http://shop.example/">x</a>'}, ["plain_http"]),
    ],
)
def test_lint__words__finds_what_mailboxes_mind(words: dict[str, str], codes: list[str]) -> None:
    found = lint(**{"subject": "Hello", "headline": "", "body": "", **words})
    assert [one.code for one in found] == codes


@pytest.mark.parametrize(
    ("address", "is_bad"),
    [
        ("https://shop.example/a", False),
        ("{{ items[0].url }}", False),
        ("tel:+491234", False),
        ("/shop/", True),
        ("", True),
        ("#top", True),
        ("https://", True),
        ("javascript:alert(1)", True),
    ],
)
def test_bad_links__address__must_lead_somewhere_from_a_mailbox(address: str, is_bad: bool) -> None:
    assert bad_links(f"<p><a title='x' href=\"{address}\">x</a></p>") == ([address] if is_bad else [])
