"""Moments of the fact tables on pages."""

from __future__ import annotations

from datetime import datetime

from django import template

from marketing.segmentation.clock import from_micros

register = template.Library()


@register.filter
def moment(micros: int | None) -> datetime | None:
    """Return microseconds since 1970 as a moment; none where there is none."""
    return None if micros is None else from_micros(micros)
