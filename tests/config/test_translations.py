"""German is complete, well-formed and compiled; pages in German keep their machine-readable numbers."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import polib
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests.config.test_permissions import MATRIX, world
from tests.experiments.reports import make_comparison, make_estimate, make_metric, make_report
from tests.experiments.views.test_results import store
from tests.factories.campaigns import make_user

__all__ = ["world"]

FOLDER = settings.LOCALE_PATHS[0] / "de" / "LC_MESSAGES"
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|%%|\{\w+\}")
GERMAN = {"Accept-Language": "de"}
# Attributes in which a machine reads numbers, and what a German decimal comma in them looks like.
DRAWN = {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "dx", "dy", "width", "height", "rx", "ry"}
LISTED = {"points", "viewbox", "d"}
FORM_NUMBERS = {"min", "max", "step"}
NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")


class Numbers(HTMLParser):
    """Collects each attribute that a machine reads as a number, and counts the drawings."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        for name, value in given.items():
            is_input = tag in ("input", "progress", "meter") and (
                name in FORM_NUMBERS or (name == "value" and (tag != "input" or given.get("type") == "number"))
            )
            if name in DRAWN or is_input:
                self.seen.append((tag, name, value))
            elif name in LISTED and tag != "path":
                self.seen += [(tag, name, number) for number in re.split(r"[ ,]", value)]

    @property
    def wrong(self) -> list[tuple[str, str, str]]:
        return [one for one in self.seen if one[2] not in ("", "any") and not NUMBER.fullmatch(one[2])]


@pytest.fixture(scope="module")
def messages() -> polib.POFile:
    return polib.pofile(str(FOLDER / "django.po"))


@pytest.fixture
def root(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def _texts(entry: polib.POEntry) -> list[tuple[str, str]]:
    if entry.msgid_plural:
        return [(entry.msgid, entry.msgstr_plural[0]), (entry.msgid_plural, entry.msgstr_plural[1])]
    return [(entry.msgid, entry.msgstr)]


def test_german__every_message__is_translated_and_certain(messages: polib.POFile) -> None:
    assert len(messages) > 1000
    assert [entry.msgid for entry in messages if entry.obsolete or entry.fuzzy] == []
    assert [entry.msgid for entry in messages if not all(text.strip() for _, text in _texts(entry))] == []


def test_german__placeholders__are_those_of_the_original(messages: polib.POFile) -> None:
    wrong = [
        (original, text)
        for entry in messages
        for original, text in _texts(entry)
        if sorted(set(PLACEHOLDER.findall(original))) != sorted(set(PLACEHOLDER.findall(text)))
    ]
    assert wrong == []


def test_german__compiled_catalogue__says_the_same(messages: polib.POFile) -> None:
    def content(file: polib.POFile | polib.MOFile) -> dict[tuple[str | None, str], list[tuple[str, str]]]:
        return {(entry.msgctxt, entry.msgid): _texts(entry) for entry in file}

    assert content(messages) == content(polib.mofile(str(FOLDER / "django.mo")))


def test_german__browser_asks_for_it__home_and_campaign_form_speak_it(root: Client, world: str) -> None:
    home = root.get(reverse("marketing:home"), headers=GERMAN).content.decode()
    assert '<html lang="de">' in home
    assert "Was Ihre Kampagnen bewirken" in home
    form = root.get(reverse("marketing:campaign-create"), headers=GERMAN).content.decode()
    assert "Warum niemand in der Kontrollgruppe ist" in form


@pytest.mark.parametrize("name", ["marketing:home", "marketing:shop"])
def test_switch__footer_form__changes_the_language_and_comes_back(world: str, name: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(make_user(role="marketer"))
    page = client.get(reverse(name), {"page": "2"}).content.decode()
    form = re.search(r"<form[^>]*language-switch.*?</form>", page, re.DOTALL)
    assert form is not None
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form[0]))
    assert re.findall(r'name="language" value="(\w+)" lang="\w+"( aria-current)?', form[0]) == [
        ("en", " aria-current"),
        ("de", ""),
    ]
    answer = client.post(reverse("set_language"), hidden | {"language": "de"}, follow=True)
    assert answer.redirect_chain == [(f"{reverse(name)}?page=2", 302)]
    assert '<html lang="de">' in answer.content.decode()


def test_switch__foreign_next__stays_on_the_site(client: Client, db: None) -> None:
    answer = client.post(reverse("set_language"), {"language": "de", "next": "https://example.com/"})
    assert answer.headers["Location"] == "/"


def test_pages__in_german__answer_and_keep_numbers_for_machines(root: Client, world: str) -> None:
    wrong, pages = [], 0
    for name, row in MATRIX.items():
        arguments = {key: world if value == "PROFILE" else value for key, value in row.arguments.items()}
        answer = getattr(root, row.method)(reverse(name, kwargs=arguments), headers=GERMAN)
        if name == "logout":
            root.force_login(User.objects.get(username="root"))
        if answer.status_code != 200 or "html" not in answer.headers["Content-Type"]:
            continue
        pages += 1
        numbers = Numbers()
        numbers.feed(answer.content.decode())
        wrong += [(name, *one) for one in numbers.wrong]
    assert wrong == []
    assert pages > 25


def test_result_page__in_german__has_a_comma_for_readers_and_a_point_in_drawings(root: Client) -> None:
    comparison = make_comparison(adjusted=make_estimate(variance_saved=0.2), true_lift=0.15)
    key = store(make_report(metrics=(make_metric(comparisons=(comparison,)),))).key
    page = root.get(reverse("experiments:experiment-detail", kwargs={"key": key}), headers=GERMAN).content.decode()
    numbers = Numbers()
    numbers.feed(page)
    assert numbers.wrong == []
    assert {("polyline", "points"), ("polygon", "points"), ("line", "x1"), ("circle", "cx")} <= {
        one[:2] for one in numbers.seen
    }
    assert any("." in value for _, _, value in numbers.seen)
    assert re.search(r"\d,\d+\xa0%", page)
    german = root.get(reverse("experiments:experiment-report", kwargs={"key": key}), headers=GERMAN)
    english = root.get(reverse("experiments:experiment-report", kwargs={"key": key}))
    assert german.json()["metrics"] == english.json()["metrics"]


def test_table__in_german__is_the_same_file(root: Client) -> None:
    key = store(make_report()).key
    address = reverse("experiments:experiment-table", kwargs={"key": key, "table": "results", "extension": "csv"})
    assert root.get(address, headers=GERMAN).content == root.get(address).content
