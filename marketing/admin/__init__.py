"""Marketing in the admin, one module per family."""

from __future__ import annotations

from marketing.admin import campaigns, data, intake, privacy

__all__ = ["campaigns", "data", "intake", "privacy"]
