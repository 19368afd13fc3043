"""Errors of marketing: one base, named children, translated once at the border."""

from __future__ import annotations

from collections.abc import Sequence


class MarketingError(Exception):
    """Something in marketing could not be done; the message says what."""


class UnknownCampaign(MarketingError):
    """No campaign has this slug."""


class CannotTransition(MarketingError):
    """The campaign is in another state, or a guard has reasons against the transition."""

    def __init__(self, transition: str, reasons: Sequence[str]) -> None:
        super().__init__(" ".join(reasons))
        self.transition = transition
        self.reasons = tuple(reasons)


class InvalidCampaign(MarketingError):
    """The draft cannot be stored; the message says what is wrong with it."""


class CannotReadMailbox(MarketingError):
    """The mailbox of bounces cannot be read; the message says which and why."""


class CannotSendTest(MarketingError):
    """A test message cannot be sent; the message says what is missing or what the mail server said."""


class CannotSwitchReview(MarketingError):
    """The review by a second person cannot be switched off; the message says what is missing."""


class CannotComputeTraits(MarketingError):
    """The computed traits cannot be counted now; the message says what is in the way."""


class CannotDeclareTrait(MarketingError):
    """The trait cannot be declared or changed like that; the message names what is wrong."""


class CannotArchive(MarketingError):
    """Events cannot be moved out of the database or back; the message says what needs them or what is missing."""


class UnknownVisitor(MarketingError):
    """Nobody we may recognize is behind the request."""


class CannotMerge(MarketingError):
    """Two profiles cannot be joined, or a join cannot be undone."""


class BadTrait(MarketingError):
    """A trait's value does not fit its type."""


class UnknownProfile(MarketingError):
    """There is no such profile."""


class BadRule(MarketingError):
    """A segment's rule cannot be understood."""


class ProtectedTrait(BadRule):
    """A protected trait has no recorded legal basis, or is used without a reason that is logged."""


class CannotImport(MarketingError):
    """A file cannot be imported at all."""


class DemoIsBusy(MarketingError):
    """Another process is building or removing the demo world."""


class CannotReport(MarketingError):
    """A report cannot be made; the message says what is missing."""


class CannotEditSegment(MarketingError):
    """A segment cannot be changed, archived or refreshed."""


class CannotIssueKey(MarketingError):
    """A key with these scopes cannot be made for this source."""


class KeysUnknown(MarketingError):
    """No key could be read since this process started: who asks cannot be told."""
