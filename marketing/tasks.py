"""Tasks: ids in, one service call."""

from __future__ import annotations

import logging

from celery import shared_task
from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from marketing.choices import ListMode
from marketing.errors import CannotComputeTraits, CannotEditSegment, CannotImport, CannotReadMailbox, DemoIsBusy
from marketing.models import Heartbeat
from marketing.selectors.segment_references import refresh_order
from marketing.services import answers, drain, membership, notices, retention, timetable
from recommender.errors import RecommenderError

log = logging.getLogger(__name__)

SENDING_SECONDS = 5.0
"""Then the worker looks at its other tasks."""


@shared_task
def remove_demo_world() -> None:
    """Take the demo world away; the command is `remove_demo`."""
    from marketing.services.demo import job  # numpy: beat loads this module, too, and has no use for it

    try:
        job.remove(clock=timezone.now, report=lambda *_: None)
    except DemoIsBusy:
        log.warning("the demo world is being built or removed already")


@shared_task
def heartbeat() -> None:
    """Say that beat and a worker are alive; `/healthz` and the home page read it."""
    Heartbeat.objects.update_or_create(name="beat", defaults={"at": timezone.now()})


@shared_task
def drain_spool() -> None:
    """Move what was collected into the database; the command is `drain`."""
    drain.drain(at=timezone.now())


@shared_task
def refresh_segments() -> None:
    """Refresh every segment for the people who can have changed sides; the command is `refresh_segments`."""
    for failed in membership.refresh_changes(at=timezone.now()).failed:
        log.error("segment %s could not be refreshed", failed.segment_id, exc_info=failed.error)


@shared_task
def recount_segments() -> None:
    """Refresh every segment for everybody, one after those that it depends on: `refresh_segments --full`."""
    for segment_id in refresh_order():
        refresh_segment(segment_id)


@shared_task
def refresh_segment(segment_id: int) -> None:
    """Refresh one segment; a failure is remembered on it, and the members of the last good refresh stay."""
    try:
        membership.refresh_segment(segment_id=segment_id, at=timezone.now())
    except Exception as error:
        log.exception("segment %s could not be refreshed", segment_id)
        membership.record_failure(segment_id=segment_id, reason=f"{type(error).__name__}: {error}", at=timezone.now())


@shared_task
def compute_traits() -> None:
    """Bring the computed traits up to date; the command is `compute_traits`."""
    from marketing.services.portrait import run  # numpy and scipy: beat loads this module, too, and has no use for them

    try:
        run.compute_traits(clock=timezone.now)
    except CannotComputeTraits as error:
        log.warning("the traits were not computed: %s", error)


@shared_task
def import_list(*, segment_id: int, name: str, mode: str, file_name: str) -> None:
    """Read a file of members; the command is `import_members`."""
    from marketing.services import lists

    try:
        lists.import_upload(
            segment_id=segment_id, name=name, mode=ListMode(mode), file_name=file_name, at=timezone.now()
        )
    except (CannotImport, CannotEditSegment) as error:
        log.warning("the members of segment %s could not be read: %s", segment_id, error)


@shared_task
def advance_campaigns() -> None:
    """Launch and finish the campaigns that are due; the command is `advance_campaigns`."""
    timetable.advance(at=timezone.now())


@shared_task
def send_messages() -> None:
    """Send what is due; the command is `send_messages`."""
    from marketing.services.sending import dispatch  # Liquid and the HTML cleaner: beat has no use for them

    dispatch.send_due(clock=timezone.now, seconds=SENDING_SECONDS)


@shared_task
def start_sendings() -> None:
    """Start the sendings whose time or trigger has come; the command is `start_sendings`."""
    from marketing.services.sending import occasions  # the recommender's readers: beat has no use for them

    occasions.start_due(at=timezone.now())


@shared_task
def create_affinity_segment(*, item_id: str, strategy: str, people: int, name: str, actor_id: int | None) -> None:
    """Make a segment of the people whom an item would suit; the command is `affinity_segment`."""
    from marketing.services import affinity  # numpy: beat loads this module, too, and has no use for it

    wish = affinity.AffinityWish(item_id=item_id, strategy=strategy, people=people, name=name)
    actor = None if actor_id is None else User.objects.filter(pk=actor_id).first()
    try:
        affinity.create_affinity_segment(wish=wish, at=timezone.now(), actor=actor)
    except RecommenderError as error:
        log.warning("no segment for item %s: %s", item_id, error)


@shared_task
def read_bounces() -> None:
    """Read the mailbox of bounces, if there is one; the command is `read_bounces`."""
    from marketing.services.sending import mailboxes  # the detectors of bounces: beat has no use for them

    if not settings.BOUNCE_MAILBOX:
        return
    try:
        mailboxes.read_bounces(place=settings.BOUNCE_MAILBOX, clock=timezone.now)
    except CannotReadMailbox as error:
        log.warning("the mailbox of bounces could not be read: %s", error)


@shared_task
def check_senders() -> None:
    """Ask the DNS about the senders' domains; the command is `check_senders`."""
    from marketing.services.sending import domains

    domains.check_senders(at=timezone.now())


@shared_task
def send_erasure_notices() -> None:
    """Tell the recipients of data whom we have erased; the command is `send_erasure_notices`."""
    notices.send_due(at=timezone.now())


@shared_task
def answer_data_requests() -> None:
    """Answer people who asked for their data; the command is `answer_data_requests`."""
    answers.answer_due(at=timezone.now())


@shared_task
def send_preference_link(address: str) -> None:
    """Send somebody the link to their own data; the command is `send_preference_link`."""
    from marketing.services.preferences import send_link  # the recommender's readers: beat has no use for them

    send_link(address=address)


@shared_task
def send_confirmation(profile_id: int) -> None:
    """Ask somebody to confirm a yes to e-mail; the command is `send_confirmation`."""
    from marketing.services.confirmation import send_question  # as above

    send_question(profile_id=profile_id)


@shared_task
def apply_retention() -> None:
    """Delete what is older than its limit; the command is `apply_retention`."""
    for one in retention.apply_retention(at=timezone.now()):
        if one.older_n:
            log.warning("%d of %s are older than %d days and still there", one.older_n, one.data_class, one.days)
