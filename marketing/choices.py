"""The closed vocabularies of marketing."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class SourceKind(models.TextChoices):
    """Where events come from; browsers are less trusted than servers."""

    SERVER = "server", _("server")
    BROWSER = "browser", _("browser")
    IMPORT = "import", _("file import")
    INTERNAL = "internal", _("Holdout itself")
    DEMO = "demo", _("demo world")


class KeyScope(models.TextChoices):
    """What a key of a source may do. A browser's key is public, so it has the first two only, which read nobody."""

    WRITE = "write", _("send events")
    DECIDE = "decide", _("ask for arms")
    READ = "read", _("read through the management API")
    MANAGE = "manage", _("read and change through the management API")


# These act as a person of the back office, with that person's permissions and never more.
MANAGEMENT_SCOPES = (KeyScope.READ, KeyScope.MANAGE)


class IdentityKind(models.TextChoices):
    ANONYMOUS = "anonymous", _("anonymous visitor")
    USER_ID = "user_id", _("user id")
    EMAIL = "email", _("e-mail address")
    DEVICE = "device", _("device")
    CRM = "crm", _("CRM id")


# Two profiles that hold different values of one of these kinds are two people
# and are never merged automatically.
STRONG_IDENTITY_KINDS = (IdentityKind.USER_ID, IdentityKind.CRM, IdentityKind.EMAIL)


class TraitType(models.TextChoices):
    TEXT = "text", _("text")
    NUMBER = "number", _("number")
    BOOLEAN = "boolean", _("yes or no")
    DATE = "date", _("date")


class TraitOrigin(models.TextChoices):
    """Who says the value: somebody (a person, an import, a message), or Holdout from what people do."""

    DECLARED = "declared", _("declared")
    COMPUTED = "computed", _("computed")


class TraitConflict(models.TextChoices):
    """Whose statement of a trait stays where several sources, or two merged people, say different things."""

    NEWEST = "newest", _("the newest statement")
    OLDEST = "oldest", _("the oldest statement: later ones never overwrite it")
    RANK = "rank", _("the source of the highest rank; of equals the newest")


class TraitRunKind(models.TextChoices):
    FULL = "full", _("everybody")
    INCREMENTAL = "incremental", _("who changed")
    SELECTED = "selected", _("chosen people")


class Sensitivity(models.TextChoices):
    NORMAL = "normal", _("normal")
    PERSONAL = "personal", _("personal")
    PROTECTED = "protected", _("protected")


class Purpose(models.TextChoices):
    ANALYTICS = "analytics", _("analytics")
    PERSONALIZATION = "personalization", _("personalization")
    MARKETING_EMAIL = "marketing_email", _("marketing e-mail")
    PROFILING = "profiling", _("profiling")
    OBJECTION = "objection", _("objection to direct marketing")
    """Art. 21(2) GDPR: a yes says that the person objects. Nothing but the person's own no takes it back."""


# What somebody is asked for. An objection is stated, never asked for.
ASKED_PURPOSES = (Purpose.ANALYTICS, Purpose.PERSONALIZATION, Purpose.MARKETING_EMAIL, Purpose.PROFILING)


class ConsentChannel(models.TextChoices):
    """Through which channel a purpose is pursued; empty: through every one."""

    PAGE = "page", _("pages")
    EMAIL = "email", _("e-mail")


class LawfulBasis(models.TextChoices):
    CONSENT = "consent", _("consent")
    CONTRACT = "contract", _("contract")
    LEGITIMATE_INTEREST = "legitimate_interest", _("legitimate interest")


class MergeReason(models.TextChoices):
    SIGN_IN = "sign_in", _("anonymous visitor signed in")
    ALIAS = "alias", _("alias message")
    IMPORT = "import", _("import")
    MANUAL = "manual", _("by hand")


class MembershipCause(models.TextChoices):
    """Why somebody entered or left a segment."""

    EVENT = "event", _("behaviour or trait changed")
    CLOCK = "clock", _("time passed")
    DEFINITION = "definition", _("the rule was edited")
    CONSENT = "consent", _("consent changed")
    MERGE = "merge", _("profiles were merged")


class ImportKind(models.TextChoices):
    EVENTS = "events", _("events")
    PROFILES = "profiles", _("profiles")
    MEMBERS = "members", _("members of a segment")


class ListMode(models.TextChoices):
    """What a file of members does to a list."""

    ADD = "add", _("add them to the members")
    REMOVE = "remove", _("take them out")
    REPLACE = "replace", _("make them the members, and nobody else")


class CampaignKind(models.TextChoices):
    PAGE = "page", _("page slot")
    EMAIL = "email", _("e-mail")


class Cadence(models.TextChoices):
    """How often, and what for, people get a campaign's message."""

    ONCE = "once", _("once")
    RECURRING = "recurring", _("again and again")
    TRIGGERED = "triggered", _("after something people do")


class CrashPolicy(models.TextChoices):
    """What happens to messages that were being handed over when a worker died: SMTP cannot say whether they went."""

    HOLD = "hold", _("hold: never twice; a person settles the uncertain ones")
    RESEND = "resend", _("send again: never missed, a few may arrive twice")


class CampaignStatus(models.TextChoices):
    DRAFT = "draft", _("draft")
    IN_REVIEW = "in_review", _("in review")
    SCHEDULED = "scheduled", _("scheduled")
    RUNNING = "running", _("running")
    PAUSED = "paused", _("paused")
    FINISHED = "finished", _("finished")
    ARCHIVED = "archived", _("archived")


class DeliveryStatus(models.TextChoices):
    """How far one message to one person came; opens, clicks and bounces are events."""

    PENDING = "pending", _("pending")
    CLAIMED = "claimed", _("claimed")
    SENDING = "sending", _("sending")
    SENT = "sent", _("sent")
    FAILED = "failed", _("failed")
    UNCERTAIN = "uncertain", _("uncertain")
    SKIPPED = "skipped", _("skipped")
    WITHHELD = "withheld", _("withheld (control)")


class SkipReason(models.TextChoices):
    """Why a message was not sent after all. All is decided before the exposure; but a message that is tried again after
    a refusal, and whose person was exposed at the first try, may meanwhile expire, be capped, or its campaign end."""

    NO_CONSENT = "no_consent", _("The consent was withdrawn.")
    NO_ADDRESS = "no_address", _("There is no e-mail address.")
    SUPPRESSED = "suppressed", _("The address bounced or complained before.")
    CAPPED = "capped", _("This person has had enough messages lately.")
    NOT_RENDERED = "not_rendered", _("The message could not be made.")
    NOT_ASSIGNED = "not_assigned", _("The experiment does not take this person.")
    EXPIRED = "expired", _("It was too late for it.")
    CANCELLED = "cancelled", _("What it was to come before has happened.")
    ENDED = "ended", _("The campaign ended before.")


class SuppressionReason(models.TextChoices):
    BOUNCE = "bounce", _("the address does not exist")
    SOFT_BOUNCES = "soft_bounces", _("it bounced again and again")
    COMPLAINT = "complaint", _("the person complained")
    MANUAL = "manual", _("by hand")


class FeedbackKind(models.TextChoices):
    """What came back of a message that was handed over."""

    HARD = "hard", _("the mailbox does not exist")
    SOFT = "soft", _("the mailbox could not be reached")
    BLOCKED = "blocked", _("the message was refused")
    COMPLAINT = "complaint", _("called spam")
    LEFT = "left", _("unsubscribed at the provider")


class Outside(models.TextChoices):
    """Why a visitor sees the default experience, outside the experiment and in no arm."""

    NOT_RUNNING = "not_running", _("The campaign is not running.")
    PRIVACY_SIGNAL = "privacy_signal", _("The browser asks for privacy (Sec-GPC).")
    BOT = "bot", _("A bot or a prefetch, not a person.")
    NO_VISITOR = "no_visitor", _("Nobody we may recognize: no consent was given.")
    NO_CONSENT = "no_consent", _("A consent that this campaign needs is missing.")
    OBJECTED = "objected", _("The person objects to direct marketing.")
    NOT_IN_SEGMENT = "not_in_segment", _("Not in the campaign's segment.")
    NOT_ASSIGNED = "not_assigned", _("The experiment does not take this person.")
    NOT_RECORDED = "not_recorded", _("The exposure could not be recorded.")


class DataClass(models.TextChoices):
    """What is kept for a time of its own (Art. 5(1)(e) GDPR)."""

    EVENTS = "events", _("events")
    ANONYMOUS = "anonymous", _("anonymous visitors who did not come back")
    MEMBERSHIP_HISTORY = "membership_history", _("history of segments' members")
    DELIVERIES = "deliveries", _("messages sent")
    SLATES = "slates", _("recommendations shown")
    DEAD_LETTERS = "dead_letters", _("messages that could not be stored")
    EXPORTS = "exports", _("files made for people who asked for their data")


class RequestStatus(models.TextChoices):
    """How far the answer to a person's request for their data is."""

    PENDING = "pending", _("being prepared")
    READY = "ready", _("ready")
    FAILED = "failed", _("failed")


class NoticeStatus(models.TextChoices):
    """How far the news of an erasure is on its way to one recipient."""

    PENDING = "pending", _("pending")
    SENT = "sent", _("sent")
    FAILED = "failed", _("failed")


class SpecialBasis(models.TextChoices):
    """Art. 9(2) GDPR: on what a protected trait is processed."""

    EXPLICIT_CONSENT = "explicit_consent", _("(a) explicit consent")
    EMPLOYMENT = "employment", _("(b) employment and social security law")
    VITAL_INTERESTS = "vital_interests", _("(c) vital interests")
    FOUNDATION = "foundation", _("(d) members of a foundation or association")
    MADE_PUBLIC = "made_public", _("(e) made public by the person")
    LEGAL_CLAIMS = "legal_claims", _("(f) legal claims")
    PUBLIC_INTEREST = "public_interest", _("(g) substantial public interest")
    HEALTH_CARE = "health_care", _("(h) health care")
    PUBLIC_HEALTH = "public_health", _("(i) public health")
    STATISTICS = "statistics", _("(j) research and statistics")
