"""Statements 23, 24 and 27: what browsers ask for is honored before anybody is asked, on pages and on the wires."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client, RequestFactory

from experiments.selectors import exposed_counts
from experiments.selectors.config import get_config
from experiments.wire.evaluation import asker_of, evaluate
from marketing.choices import Purpose
from marketing.models import Consent, Event, OutsideCount, Profile
from marketing.selectors.consent import has_consent
from marketing.views.visitor import CHOICE_COOKIE, VISITOR_COOKIE, visitor_of
from tests.factories.campaigns import BROWSER, make_campaign
from tests.factories.experiments import make_experiment
from tests.factories.marketing import NOW, give_consent
from tests.marketing.wire.test_collect import MESSAGE, collector, post, source, spooled

pytestmark = pytest.mark.django_db
__all__ = ["collector", "source"]  # fixtures
BOTH = {"analytics": "on", "personalization": "on"}


def known_browser() -> Client:
    """A browser whose person agreed to both."""
    client = Client(headers={"User-Agent": BROWSER})
    client.post("/shop/-/consent/", BOTH)
    return client


@pytest.mark.parametrize(
    ("honors", "headers", "expected"),
    [
        (False, {"Sec-GPC": "1"}, True),
        (True, {"Sec-GPC": "1"}, True),
        (False, {"DNT": "1"}, False),
        (True, {"DNT": "1"}, True),
        (True, {"DNT": "0"}, False),
        (True, {}, False),
    ],
)
def test_compliance_27__signals__gpc_always_and_dnt_as_configured(
    settings: Any, honors: bool, headers: dict[str, str], expected: bool
) -> None:
    settings.HONOR_DO_NOT_TRACK = honors
    request = RequestFactory().get("/", headers={"User-Agent": BROWSER, **headers})
    assert visitor_of(request).opts_out is expected
    environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    assert asker_of({"HTTP_USER_AGENT": BROWSER, **environ}, {}, at=NOW).opts_out is expected


def test_compliance_27__gpc_on_the_wire__is_in_no_arm_whatever_the_client_says() -> None:
    experiment = make_experiment(status="running", unit_type="user_id")
    config = get_config(experiment_key=experiment.key)
    assert config is not None
    asked: dict[str, Any] = {"unit_id": "u1", "attributes": {"consent": True}, "at": NOW}
    assert evaluate(config, **asked).arm_key is not None
    private = asker_of({"HTTP_SEC_GPC": "1"}, {}, at=NOW)
    answer = evaluate(config, asker=private, **asked)
    assert (answer.arm_key, answer.reason) == (None, "no_consent")


def test_compliance_27__gpc_at_collect__is_taken_and_not_kept(collector: Any) -> None:
    assert post("/v1/batch", {"batch": [MESSAGE]}, HTTP_SEC_GPC="1")[0] == 200
    assert spooled(collector) == []
    assert post("/v1/batch", {"batch": [MESSAGE]}, HTTP_SEC_GPC="0")[0] == 200
    assert len(spooled(collector)) == 1


def test_compliance_23__gpc_of_a_known_browser__is_written_down_once() -> None:
    campaign = make_campaign()
    client = known_browser()
    profile = Profile.objects.get()
    give_consent(profile, Purpose.PROFILING)
    give_consent(profile, Purpose.MARKETING_EMAIL)
    for _ in range(2):
        page = client.get(f"/c/{campaign.slug}/slot/", headers={"Sec-GPC": "1"})
        assert page.status_code == 200
    assert not has_consent(profile_id=profile.pk, purpose=Purpose.PROFILING)
    assert has_consent(profile_id=profile.pk, purpose=Purpose.MARKETING_EMAIL)  # said by hand, for another channel
    assert Consent.objects.filter(source="sec-gpc").count() == 1
    assert sum(exposed_counts(experiment_key=campaign.experiment_key).values()) == 0
    client.get("/shop/item-1/", headers={"Sec-GPC": "1"})
    assert not Event.objects.exists()


def test_compliance_23__gpc_of_a_stranger__leaves_nothing_but_a_count() -> None:
    campaign = make_campaign()
    client = Client(headers={"User-Agent": BROWSER, "Sec-GPC": "1"})
    client.get(f"/c/{campaign.slug}/slot/")
    client.get("/shop/item-1/")
    client.post("/shop/-/consent/", BOTH)  # a page without the question cannot send this; a script can
    assert not Profile.objects.exists()
    assert not Consent.objects.exists()
    assert OutsideCount.objects.get().reason == "privacy_signal"


def test_compliance_24__before_consent__no_cookie_and_no_identity() -> None:
    campaign = make_campaign()
    client = Client(headers={"User-Agent": BROWSER})
    for path in (f"/c/{campaign.slug}/", f"/c/{campaign.slug}/slot/", "/shop/", "/shop/item-1/", "/me/link/"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert set(answer.cookies) <= {"csrftoken"}
    assert not Profile.objects.exists()
    assert OutsideCount.objects.get().reason == "no_visitor"
    client.post("/shop/-/consent/", {})
    assert set(client.cookies) <= {"csrftoken", CHOICE_COOKIE, VISITOR_COOKIE}
    assert client.cookies[CHOICE_COOKIE].value == "1"
    assert VISITOR_COOKIE not in client.cookies or client.cookies[VISITOR_COOKIE].value == ""
    assert not Profile.objects.exists()
