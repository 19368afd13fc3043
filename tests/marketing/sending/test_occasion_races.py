"""Two beats at once. The suite has races on PostgreSQL only: SQLite lets one writer in at a time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from marketing.models import Campaign, Delivery, Occurrence
from marketing.services.sending import audience, occasions
from marketing.services.tracking import store_event
from tests.factories.campaigns import STARTED
from tests.factories.marketing import NOW
from tests.factories.sending import make_mailing, make_recipient
from tests.races import at_once

pytestmark = pytest.mark.django_db(transaction=True)

if connection.vendor == "postgresql":

    def test_start_due__four_at_once__one_occurrence_and_one_message_each() -> None:
        for _ in range(20):
            make_recipient()
        make_mailing(cadence="recurring", every_days=7)
        assert at_once(*[lambda: occasions.start_due(at=NOW)] * 4) == []
        assert Occurrence.objects.count() == 1
        assert Delivery.objects.count() == 20

    def test_start_due__four_at_once__each_trigger_is_answered_once() -> None:
        people = [make_recipient() for _ in range(20)]
        make_mailing(cadence="triggered", trigger_event="Product Added", again_days=1)
        for number, one in enumerate(people * 2):
            at = NOW - timedelta(minutes=number)
            store_event("Product Added", profile_id=one.pk, properties={}, at=at)
        assert at_once(*[lambda: occasions.start_due(at=NOW)] * 4) == []
        assert Delivery.objects.count() == 20
        assert Campaign.objects.get().audience_n == 20


def test_hold__dies_in_the_middle__leaves_nothing_and_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        make_recipient()
    make_mailing(cadence="recurring", every_days=7)
    with monkeypatch.context() as patch:
        patch.setattr(audience, "AT_ONCE", 2)
        chunks, write = [], audience.write

        def dies_at_the_second(**chunk: object) -> int:
            chunks.append(chunk)
            if len(chunks) == 2:
                raise KeyboardInterrupt
            return write(**chunk)  # type: ignore[arg-type]  # passed on as it came

        patch.setattr(audience, "write", dies_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            occasions.start_due(at=STARTED)
    assert not Occurrence.objects.exists()
    assert not Delivery.objects.exists()
    assert sum(occasions.start_due(at=STARTED).again.values()) == 3
