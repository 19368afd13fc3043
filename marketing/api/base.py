"""What the endpoints of marketing have in common."""

from __future__ import annotations

from typing import ClassVar

from config.webapi.endpoint import Endpoint
from config.webapi.errors import CONFLICT, NOT_FOUND, REFUSED
from config.webapi.problems import Border
from marketing.errors import (
    BadRule,
    CannotEditSegment,
    CannotImport,
    CannotIssueKey,
    CannotTransition,
    InvalidCampaign,
    UnknownCampaign,
)


class MarketingEndpoint(Endpoint):
    """An endpoint whose services raise this app's errors."""

    problems: ClassVar[Border] = {
        UnknownCampaign: NOT_FOUND,
        CannotTransition: CONFLICT,
        CannotEditSegment: CONFLICT,
        CannotIssueKey: REFUSED,
        CannotImport: REFUSED,
        InvalidCampaign: REFUSED,
        BadRule: REFUSED,
    }
