"""What must stand before the first page: roles, the schedule, the built-in definitions, a first person."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from experiments.services.metrics import ensure_builtin_metrics
from marketing.roles import ROLES
from marketing.services.portrait.definitions import ensure_builtin_traits
from marketing.services.retention import ensure_rules
from recommender.services.strategies import ensure_default_strategies

FIRST_USER: Final = "admin"
# (name in the admin, task, every n seconds)
SCHEDULE: Final = (
    ("Drain the spool", "marketing.tasks.drain_spool", 1),
    ("Heartbeat", "marketing.tasks.heartbeat", 30),
    ("Refresh running experiments", "experiments.tasks.refresh_running_experiments", 300),
    ("Raise the coverage of ramps that are due", "experiments.tasks.apply_ramps", 30),
    ("Send alerts and invitations", "experiments.tasks.send_alerts", 60),
    ("Send the weekly digest", "experiments.tasks.send_digests", 3_600),
    ("Update the holdout ledger", "experiments.tasks.update_ledger", 86_400),
    ("Send messages that are due", "marketing.tasks.send_messages", 2),
    ("Start sendings whose occasion has come", "marketing.tasks.start_sendings", 15),
    ("Read bounces and complaints", "marketing.tasks.read_bounces", 60),
    ("Look up the senders' domains", "marketing.tasks.check_senders", 86_400),
    ("Launch and finish campaigns that are due", "marketing.tasks.advance_campaigns", 30),
    ("Compute traits", "marketing.tasks.compute_traits", 3_600),
    ("Refresh segments", "marketing.tasks.refresh_segments", 60),
    ("Recount segments", "marketing.tasks.recount_segments", 86_400),
    ("Delete what is older than its limit", "marketing.tasks.apply_retention", 86_400),
    ("Answer people who asked for their data", "marketing.tasks.answer_data_requests", 60),
    ("Tell recipients of data about erasures", "marketing.tasks.send_erasure_notices", 60),
    ("Train recommenders that are due", "recommender.tasks.train_due_strategies", 900),
    ("Drop prepared slates that nobody took", "recommender.tasks.drop_old_slates", 86_400),
)


SHORTEST_EXPIRY: Final = 30  # seconds
"""A task that waited longer is dropped, since the next one does its work. On a machine so busy that every message waits
for two seconds, a task that expires in two would never run: no mail went out for minutes."""


@transaction.atomic
def prepare(*, at: datetime) -> None:
    """Bring roles, schedule and built-in definitions up to date; what people edited in the admin stays."""
    _sync_roles()
    _sync_schedule()
    ensure_builtin_metrics()
    ensure_builtin_traits()
    ensure_rules()
    ensure_default_strategies(at=at)


def _sync_roles() -> None:
    wanted = {name for names in ROLES.values() for name in names}
    permissions = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }
    unknown = sorted(wanted - permissions.keys())
    if unknown:
        raise LookupError(f"marketing/roles.py names permissions that no model declares: {', '.join(unknown)}")
    for role, names in ROLES.items():
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.set([permissions[name] for name in names])


def _sync_schedule() -> None:
    """Add what is missing from the schedule; an interval that an operator changed is left alone."""
    for name, task, seconds in SCHEDULE:
        every, _ = IntervalSchedule.objects.get_or_create(every=seconds, period=IntervalSchedule.SECONDS)
        PeriodicTask.objects.get_or_create(
            name=name,
            defaults={
                "task": task,
                "interval": every,
                "kwargs": json.dumps({}),
                "expire_seconds": max(seconds, SHORTEST_EXPIRY),
            },
        )


def first_user() -> User:
    """Return the superuser for the one-time sign-in link, made without a usable password if there is none."""
    people = get_user_model().objects
    existing = people.filter(is_superuser=True, is_active=True).order_by("pk").first()
    if existing is not None:
        return existing
    user = people.create_superuser(username=FIRST_USER)
    user.set_unusable_password()
    user.save(update_fields=["password"])
    return user
