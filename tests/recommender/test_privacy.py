from __future__ import annotations

from recommender.models import Slate
from recommender.reports import FallbackRate, Reason
from recommender.selectors import fallback_rates, fallback_text, get_slate, list_slates, reason_text
from recommender.services.privacy import export, forget, forget_many
from recommender.services.serving import recommend
from tests.recommender.conftest import NOW, NOW_US, later


def _show(user_id: str, arm: str = "treatment") -> None:
    recommend(user_id=user_id, k=2, strategy="item-knn", context={"arm": arm}, at=NOW)


def test_forget__one_person__only_their_rows(trained_shop: None) -> None:
    for user_id in ("u0", "u0", "u1"):
        _show(user_id)
    assert forget(user_id="u0").slates == 2
    assert list(Slate.objects.values_list("user_id", flat=True)) == ["u1"]
    assert forget(user_id="u0").slates == 0


def test_forget_many__hundreds_of_ids__in_batches(trained_shop: None) -> None:
    for user_id in ("u0", "u1", "u2"):
        _show(user_id)
    people = [f"x{number}" for number in range(600)]
    assert forget_many(user_ids=["u0", *people, "u1"]).slates == 2
    assert Slate.objects.get().user_id == "u2"


def test_export__one_person__everything_in_plain_values(trained_shop: None) -> None:
    _show("u0")
    (slate,) = export(user_id="u0")["slates"]
    assert slate["strategy"] == "item-knn"
    assert slate["at"] == NOW_US
    assert len(slate["items"]) == 2
    assert export(user_id="u1") == {"slates": [], "prepared_slates": []}


def test_slates__by_person_and_by_id__found(trained_shop: None) -> None:
    _show("u0")
    (slate,) = list_slates(user_id="u0")
    assert get_slate(recommendation_id=str(slate.recommendation_id)) == slate
    assert str(slate) == str(slate.recommendation_id)


def test_fallback_rates__by_arm__share_of_slates(trained_shop: None) -> None:
    _show("u0")
    _show("stranger")
    _show("stranger", arm="control")
    recommend(user_id="u0", k=2, strategy="item-knn", context={"arm": "control"}, at=later(days=1))
    rates = fallback_rates(since=NOW_US, until=NOW_US + 1, by="arm")
    assert [(rate.label, rate.slates, rate.rate) for rate in rates] == [("control", 1, 1.0), ("treatment", 2, 0.5)]
    assert [(rate.people, rate.people_with_fallback) for rate in rates] == [(1, 1), (2, 1)]
    nothing = FallbackRate("control", 0, 0, 0, 0, 0)
    assert nothing.rate is None
    assert nothing.people_rate is None
    assert fallback_rates(by="arm", held_by="spring") == []


def test_fallback_rate__three_standard_errors_apart__differs() -> None:
    """100 of 1,000 against 150 of 1,000: z = 3.38; against 140: z = 2.75."""
    control = FallbackRate("control", 3_000, 300, 1_000, 100, 100)
    assert control.differs_from(FallbackRate("treatment", 3_000, 300, 1_000, 150, 150))
    assert not control.differs_from(FallbackRate("treatment", 3_000, 300, 1_000, 140, 140))
    assert not control.differs_from(FallbackRate("treatment", 3_000, 900, 1_000, 900, 100))  # by design, not failures
    assert not control.differs_from(FallbackRate("treatment", 0, 0, 0, 0, 0))


def test_words__reasons_and_fallbacks__never_a_bare_code() -> None:
    titles = {"a": "Mug", "b": "Pot"}
    assert reason_text(reason=Reason("because_of", ("a", "b")), titles=titles) == "Because you looked at Mug and Pot"
    assert reason_text(reason=Reason("because_of", ("z",))) == "Because you looked at z"
    assert reason_text(reason=Reason("because_of")) == "Fits what you looked at"
    assert reason_text(reason=Reason("editorial")) == "From our range"
    assert fallback_text(code="no_model") == "No model is published yet"
    assert fallback_text(code="") == ""
