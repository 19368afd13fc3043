"""The record of marketing, one module per family."""

from __future__ import annotations

from marketing.models.changelog import ChangeLog
from marketing.models.consent import Consent
from marketing.models.event import (
    Activity,
    DeadLetter,
    Event,
    EventType,
    ExchangeRate,
    ImportRun,
    Source,
    WriteKey,
)
from marketing.models.identity import Identity, Merge, ProfileAlias
from marketing.models.operation import Heartbeat, Job
from marketing.models.profile import Profile, ProfileTrait, TraitDefinition
from marketing.models.segment import (
    Membership,
    MembershipEvent,
    Segment,
    SegmentVersion,
)

__all__ = [
    "Activity",
    "ChangeLog",
    "Consent",
    "DeadLetter",
    "Event",
    "EventType",
    "ExchangeRate",
    "Heartbeat",
    "Identity",
    "ImportRun",
    "Job",
    "Membership",
    "MembershipEvent",
    "Merge",
    "Profile",
    "ProfileAlias",
    "ProfileTrait",
    "Segment",
    "SegmentVersion",
    "Source",
    "TraitDefinition",
    "WriteKey",
]
