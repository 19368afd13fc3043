"""What providers report by webhook, and which channel e-mail leaves by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from marketing.channels.bounces import Kind
from marketing.channels.providers import ProviderReport
from marketing.choices import FeedbackKind
from marketing.services.sending import outbox
from marketing.services.sending.feedback import Feedback, record_feedback
from marketing.services.sending.tokens import read_message_key


def record_events(*, reports: Sequence[ProviderReport], provider: str, at: datetime) -> int:
    """Store what a provider reported, which has proved who it is; return how many reports were new.

    A report of a delivery settles a message that was uncertain; the provider's word about an address counts even
    where it does not say which message it was.
    """
    stored = 0
    for report in reports:
        delivery_id = read_message_key(report.key)
        if delivery_id is not None:
            outbox.confirm(delivery_id=delivery_id, at=at)
        if report.kind is Kind.DELIVERED:
            continue
        feedback = Feedback(
            FeedbackKind(report.kind), delivery_id, report.address, report.status, provider, report.report_id
        )
        stored += record_feedback(feedback=feedback, at=at)
    return stored
