"""Whether a second person must approve campaigns, switched with a row in the change log."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from marketing.errors import CannotSwitchReview
from marketing.models import ChangeLog, ReviewPolicy


@transaction.atomic
def switch_review(*, is_on: bool, reason: str, at: datetime, actor: User | None = None) -> ReviewPolicy:
    """Switch the review by a second person on or off; off needs a reason. `CannotSwitchReview` without one."""
    reason = reason.strip()
    if not is_on and not reason:
        raise CannotSwitchReview(_("Without a second person nobody sees a mistake before the people do: say why."))
    policy, _is_new = ReviewPolicy.objects.update_or_create(
        pk=1, defaults={"is_on": is_on, "changed_at": at, "changed_by": actor, "reason": reason}
    )
    ChangeLog.objects.create(
        object_type="review_policy",
        object_id="1",
        transition="review_on" if is_on else "review_off",
        actor=actor,
        at=at,
        message=reason,
        snapshot={"schema": 1, "is_on": is_on, "reason": reason},
    )
    return policy


def start_alone(*, at: datetime) -> bool:
    """Switch the review off on a machine with one account where nobody decided yet; True where it was done.

    Otherwise the first person could launch nothing. The page says that it is off, and the log why.
    """
    if ReviewPolicy.objects.exists() or User.objects.filter(is_active=True).count() > 1:
        return False
    switch_review(is_on=False, reason=_("There is one account: no second person could approve."), at=at)
    return True
