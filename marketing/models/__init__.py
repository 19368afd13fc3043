"""The record of marketing, one module per family."""

from __future__ import annotations

from marketing.models.archive import ArchivedActivity, ArchivedMessage, ArchivedPart
from marketing.models.campaign import Campaign, CampaignArm, Creative, Occurrence
from marketing.models.changelog import ChangeLog
from marketing.models.consent import Consent, ConsentText
from marketing.models.event import (
    Activity,
    DeadLetter,
    Event,
    EventType,
    ExchangeRate,
    ImportRun,
    KeyUsage,
    Source,
    WriteKey,
)
from marketing.models.feedback import MailFeedback
from marketing.models.identity import Identity, Merge, ProfileAlias
from marketing.models.message import Delivery, Link, OutsideCount
from marketing.models.news import ItemLabel, ProfileNews, TraitRun
from marketing.models.operation import Heartbeat, Job
from marketing.models.privacy import (
    DataRecipient,
    DataRequest,
    ErasureNotice,
    RetentionProof,
    RetentionRule,
    Tombstone,
    TraitBasis,
)
from marketing.models.profile import Profile, ProfileTrait, TraitDefinition
from marketing.models.review import ReviewPolicy
from marketing.models.segment import (
    ChangedProfile,
    Membership,
    MembershipEvent,
    Segment,
    SegmentVersion,
)
from marketing.models.sending import ChannelState, FrequencyCap, Sender, Suppression
from marketing.models.spool import SpoolOffset

__all__ = [
    "Activity",
    "ArchivedActivity",
    "ArchivedMessage",
    "ArchivedPart",
    "Campaign",
    "CampaignArm",
    "ChangeLog",
    "ChangedProfile",
    "ChannelState",
    "Consent",
    "ConsentText",
    "Creative",
    "DataRecipient",
    "DataRequest",
    "DeadLetter",
    "Delivery",
    "ErasureNotice",
    "Event",
    "EventType",
    "ExchangeRate",
    "FrequencyCap",
    "Heartbeat",
    "Identity",
    "ImportRun",
    "ItemLabel",
    "Job",
    "KeyUsage",
    "Link",
    "MailFeedback",
    "Membership",
    "MembershipEvent",
    "Merge",
    "Occurrence",
    "OutsideCount",
    "Profile",
    "ProfileAlias",
    "ProfileNews",
    "ProfileTrait",
    "RetentionProof",
    "RetentionRule",
    "ReviewPolicy",
    "Segment",
    "SegmentVersion",
    "Sender",
    "Source",
    "SpoolOffset",
    "Suppression",
    "Tombstone",
    "TraitBasis",
    "TraitDefinition",
    "TraitRun",
    "WriteKey",
]
