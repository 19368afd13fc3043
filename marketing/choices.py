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


class Sensitivity(models.TextChoices):
    NORMAL = "normal", _("normal")
    PERSONAL = "personal", _("personal")
    PROTECTED = "protected", _("protected")


class Purpose(models.TextChoices):
    ANALYTICS = "analytics", _("analytics")
    PERSONALIZATION = "personalization", _("personalization")
    MARKETING_EMAIL = "marketing_email", _("marketing e-mail")
    PROFILING = "profiling", _("profiling")


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
