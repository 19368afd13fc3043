from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from marketing.views.visitor import DEMO_COOKIE, VISITOR_COOKIE, play, remember_visitor, visitor_of
from tests.factories.campaigns import BROWSER

rf = RequestFactory()


def test_visitor_of__plain_browser__is_a_person_without_a_name() -> None:
    visitor = visitor_of(rf.get("/", headers={"User-Agent": BROWSER}))
    assert (visitor.anonymous_id, visitor.demo_profile_id, visitor.suspicion, visitor.opts_out) == ("", None, "", False)
    assert not visitor.is_recognizable


@pytest.mark.parametrize(
    ("headers", "suspicion"),
    [
        ({"User-Agent": ""}, "bot"),
        ({"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}, "bot"),
        ({"User-Agent": "curl/8.5.0"}, "bot"),
        ({"User-Agent": "Barracuda Sentinel (EE)"}, "bot"),
        ({"User-Agent": BROWSER, "Sec-Purpose": "prefetch;prerender"}, "prefetch"),
        ({"User-Agent": BROWSER, "Purpose": "prefetch"}, "prefetch"),
        ({"User-Agent": BROWSER, "X-Moz": "prefetch"}, "prefetch"),
        ({"User-Agent": BROWSER}, ""),
    ],
)
def test_visitor_of__bots_and_prefetch__are_suspected(headers: dict[str, str], suspicion: str) -> None:
    assert visitor_of(rf.get("/", headers=headers)).suspicion == suspicion


def test_visitor_of__head__is_suspected() -> None:
    assert visitor_of(rf.head("/", headers={"User-Agent": BROWSER})).suspicion == "head"


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("0", False), ("", False)])
def test_compliance_27__sec_gpc__is_an_opt_out(value: str, expected: bool) -> None:
    assert visitor_of(rf.get("/", headers={"User-Agent": BROWSER, "Sec-GPC": value})).opts_out is expected


def test_visitor_of__own_cookies__come_back_and_forged_ones_do_not() -> None:
    response = HttpResponse()
    remember_visitor(response, "visitor-1")
    play(response, 7)
    request = rf.get("/", headers={"User-Agent": BROWSER})
    request.COOKIES.update({name: response.cookies[name].value for name in (VISITOR_COOKIE, DEMO_COOKIE)})
    assert (visitor_of(request).anonymous_id, visitor_of(request).demo_profile_id) == ("visitor-1", 7)
    request.COOKIES.update({VISITOR_COOKIE: "visitor-2", DEMO_COOKIE: "8"})
    assert (visitor_of(request).anonymous_id, visitor_of(request).demo_profile_id) == ("", None)


def test_remember_visitor__cookie__is_first_party_and_out_of_reach_of_scripts() -> None:
    response = HttpResponse()
    remember_visitor(response, "visitor-1")
    cookie = response.cookies[VISITOR_COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["domain"]) == (True, "Lax", "")
    remember_visitor(response, "")
    assert response.cookies[VISITOR_COOKIE].value == ""
