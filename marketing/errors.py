"""Errors of marketing: one base, named children, translated once at the border."""

from __future__ import annotations


class MarketingError(Exception):
    """Something in marketing could not be done; the message says what."""
