"""Tasks and their commands call the same services."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from marketing import tasks
from marketing.models import Heartbeat, Membership, Segment
from marketing.services.segments import archive_segment
from tests.factories.marketing import NOW, make_profile, make_segment

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_heartbeat__twice__is_one_row_with_the_last_moment() -> None:
    tasks.heartbeat()
    tasks.heartbeat()

    beat = Heartbeat.objects.get(name="beat")
    assert timezone.now() - beat.at < timedelta(minutes=1)


def test_refresh_segments__dependent_segment__is_refreshed_after_its_source() -> None:
    make_profile(country="DE")
    make_profile(country="AT")
    make_segment({"all": []}, slug="everybody")
    make_segment({"trait": "country", "op": "eq", "value": "DE"}, slug="germans")
    make_segment({"all": [{"in_segment": "everybody"}, {"in_segment": "germans"}]}, slug="a-both")

    tasks.refresh_segments()

    assert dict(Segment.objects.values_list("slug", "members_n")) == {"everybody": 2, "germans": 1, "a-both": 1}


def test_refresh_segment__failure__is_remembered_and_stops_no_other() -> None:
    make_profile()
    broken = make_segment({"all": []}, slug="broken")
    archived = make_segment({"all": []}, slug="archived")
    archive_segment(segment_id=archived.pk, at=NOW)
    tasks.refresh_segment(broken.pk)
    tasks.refresh_segment(archived.pk)

    archived.refresh_from_db()
    assert archived.failure == "CannotEditSegment: segment archived has no rule in force"
    assert archived.failed_at is not None
    assert Membership.objects.filter(segment=broken).count() == 1


def test_refresh_segments_command__names__refreshes_only_those() -> None:
    make_profile()
    make_segment({"all": []}, slug="one")
    make_segment({"all": []}, slug="two")

    assert run("refresh_segments", "two") == "two: 1 members (+1 −0)\n"
    assert run("refresh_segments").splitlines() == ["one: 1 members (+1 −0)", "two: 1 members (+0 −0)"]
    with pytest.raises(CommandError, match="there is no segment three"):
        run("refresh_segments", "three")


def test_refresh_segments_command__rule_that_became_senseless__says_so() -> None:
    gone = make_segment({"all": []}, slug="gone")
    make_segment({"in_segment": "gone"}, slug="left")
    Segment.objects.filter(pk=gone.pk).update(archived_at=NOW)

    with pytest.raises(CommandError, match="there is no segment gone"):
        run("refresh_segments")


def test_drain_command__empty_spool__says_so() -> None:
    tasks.drain_spool()

    assert run("drain").startswith("0 stored, 0 known already, 0 rejected")
