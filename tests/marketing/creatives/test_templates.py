from __future__ import annotations

import time

import pytest

from marketing.creatives import templates
from marketing.creatives.html import as_text, clean
from marketing.creatives.templates import BadTemplate

CONTEXT = {"person": {"first_name": "<Ada>"}, "items": [{"title": "A & B"}]}


def test_render__html__escapes_values_and_not_the_template() -> None:
    source = "<p>Hello {{ person.first_name | default: 'you' }}</p>{% for i in items %}<b>{{ i.title }}</b>{% endfor %}"
    assert templates.render(source=source, is_html=True, context=CONTEXT) == (
        "<p>Hello &lt;Ada&gt;</p><b>A &amp; B</b>"
    )


def test_render__text__is_not_escaped() -> None:
    assert templates.render(source="For {{ person.first_name }}", is_html=False, context=CONTEXT) == "For <Ada>"


@pytest.mark.parametrize(
    "source",
    [
        "{{ person.first_name",
        "{% include 'hostname' %}",
        "{% render 'x' %}",
        "{{ (1..100000000) | join: 'a' }}",
        "{{ 'a' | replace: 'a', 'b' }}",
        "{{ 9 | times: 9 }}",
        "{{ person.first_name | no_such_filter }}",
        "{% for i in (1..100000000) %}x{% endfor %}",
        "{% assign a = 'aaaaaaaaaaaaaaaa' %}{% for i in (1..60) %}{% assign a = a | append: a %}{% endfor %}",
        "{% for i in (1..9999) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}",
        "x" * 10_001,
    ],
)
def test_render__attack_or_mistake__is_refused_at_once(source: str) -> None:
    began = time.perf_counter()
    with pytest.raises(BadTemplate):
        templates.render(source=source, is_html=True, context=CONTEXT)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize("source", ["{{ person.__class__ }}", "{{ person.first_name.__class__.__mro__ }}"])
def test_render__walk_through_python__finds_nothing(source: str) -> None:
    assert templates.render(source=source, is_html=True, context=CONTEXT) == ""


def test_check__names_that_no_message_has__are_listed() -> None:
    source = "{{ person.first_name }} {{ person.shoesize }} {{ items[0].title }} {% if order %}{% endif %}"
    unknown = templates.check(source=source, is_html=True, known=("person.first_name", "items"))
    assert unknown == ["order", "person.shoesize"]


def test_clean__scripts_and_handlers__are_gone() -> None:
    dirty = (
        '<p onclick="x()">Hi <a href="javascript:alert(1)">a</a><script>x()</script><style>p{}</style><img src=x></p>'
    )
    assert clean(dirty) == '<p>Hi <a>a</a><img src="x"></p>'


def test_as_text__blocks_and_links__keep_their_lines_and_addresses() -> None:
    link = '<a href="https://shop.example/a?b=1&amp;c=2">here</a>'
    source = f"<h1>Hi</h1><p>Look {link}&nbsp;now</p><ul><li>A &amp; B</li></ul>"
    assert as_text(source) == "Hi\nLook here (https://shop.example/a?b=1&c=2) now\n- A & B"
