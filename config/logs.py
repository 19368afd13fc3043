"""Structured logs without personal data: JSON lines in production, readable lines elsewhere."""

from __future__ import annotations

import logging
import re
from typing import Any

from pythonjsonlogger.json import JsonFormatter

EMAIL = re.compile(r"[^\s@<>\"'=]+@[^\s@<>\"']+\.[^\s@<>\"'\\]+")
SIGNED = (
    "me/confirm",
    "me",
    "m",
    "r",
    "unsubscribe",
    "accounts/one-time/[^\\s/]+",
    "experiments/-/digest/confirm",
    "experiments/-/digest/unsubscribe",
    "experiments/-/force",
)
"""Where an address goes on with a signed token: whoever reads it may act as somebody. A test compares with the urls."""
LINK = re.compile(rf"(?<![\w.-])/({'|'.join(SIGNED)})/[^\s/\"']+")
FIELDS = "{asctime}{levelname}{name}{message}"


def without_people(text: str) -> str:
    """Replace e-mail addresses and the tokens of signed links: a log is no place for them.

    >>> without_people("Not Found: /me/eyJwIjoxfQ:1x:abc/erase/ of ada@example.org")
    'Not Found: /me/[token]/erase/ of [address]'
    """
    return EMAIL.sub("[address]", LINK.sub(r"/\1/[token]", text))


class JsonLines(JsonFormatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        return without_people(super().format(record))


class ReadableLines(logging.Formatter):
    """Lines for the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return without_people(super().format(record))


def logging_settings(*, json: bool) -> dict[str, Any]:
    """Return `LOGGING`: one stream handler for everything."""
    lines: dict[str, Any] = {"()": ReadableLines, "fmt": "{asctime} {levelname:<8} {message}  [{name}]", "style": "{"}
    if json:
        renamed = {"asctime": "at", "levelname": "level", "message": "event"}
        lines = {"()": JsonLines, "fmt": FIELDS, "style": "{", "rename_fields": renamed}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": lines},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["console"], "level": "INFO"},
        "loggers": {
            "django.server": {"handlers": ["console"], "level": "INFO", "propagate": False},
            "celery": {"level": "WARNING"},
            "django_celery_beat": {"level": "WARNING"},
        },
    }
