"""What could not be stored can be tried again."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from marketing.models import DeadLetter, Event
from marketing.segmentation.clock import to_micros
from marketing.services import ingestion
from marketing.services.deadletters import replay
from marketing.wire.collect import spool_line
from tests.factories.marketing import NOW, make_source, send, track

pytestmark = pytest.mark.django_db
LATER = NOW + timedelta(days=1)


def test_replay__cause_is_gone__stores_it_once_as_of_its_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as narrow:
        narrow.setattr(ingestion, "MAX_EVENT_TYPES", 0)
        send({**track("Order Completed", user="u1"), "timestamp": None})
    letter = DeadLetter.objects.get()
    first = replay(letter_ids=[letter.pk], at=LATER)
    second = replay(letter_ids=[letter.pk], at=LATER)

    assert (first.stored, first.still_dead) == (1, 0)
    assert (second.stored, second.still_dead) == (0, 0)
    assert Event.objects.get().at == to_micros(NOW)
    letter.refresh_from_db()
    assert letter.replayed_at == LATER


def test_replay__still_bad__stays_with_the_newer_reason() -> None:
    send(track("", user="u1"))
    DeadLetter.objects.update(reason="old")
    DeadLetter.objects.create(source=None, payload="{}", reason="torn", at=NOW)
    source = DeadLetter.objects.exclude(source=None).get().source
    DeadLetter.objects.create(source=source, payload='{"cut', reason="large", at=NOW)
    result = replay(letter_ids=list(DeadLetter.objects.values_list("pk", flat=True)), at=LATER)

    assert (result.stored, result.still_dead) == (0, 3)
    reasons = set(DeadLetter.objects.values_list("reason", flat=True))
    assert reasons == {"event is missing", "BadLine: not a line of the spool: 'at'", "large"}
    assert not DeadLetter.objects.exclude(replayed_at=None).exists()


def test_replay__whole_line_that_a_defect_put_aside__is_stored_once() -> None:
    message = {"type": "track", "event": "Page Viewed", "userId": "u1", "messageId": "m1"}
    body = json.dumps({"batch": [message, {"type": "nonsense"}]}).encode()
    line = spool_line(source=make_source().pk, kind="", body=body).decode()
    letter = DeadLetter.objects.create(source=None, payload=line, reason="NameError: mended since", at=NOW)

    assert replay(letter_ids=[letter.pk], at=LATER).stored == 1
    assert replay(letter_ids=[letter.pk], at=LATER).stored == 0
    assert Event.objects.get().message_id == "m1"
    assert "messageId" not in DeadLetter.objects.exclude(pk=letter.pk).get().reason
