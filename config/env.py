"""Reading the environment: each helper refuses nonsense with a message that names the variable."""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import sys
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import environ
from django.core.exceptions import ImproperlyConfigured

env = environ.Env()

MAIL_PROVIDERS = (
    "amazon_ses",
    "brevo",
    "mailersend",
    "mailgun",
    "mailjet",
    "mailtrap",
    "mandrill",
    "postal",
    "postmark",
    "resend",
    "sendgrid",
    "sparkpost",
    "unisender_go",
)
TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off", ""})


def flag(name: str, *, default: bool) -> bool:
    """Return the boolean variable `name`; raise `ImproperlyConfigured` for anything but yes or no."""
    raw = os.environ.get(name)
    if raw is None:
        return default
    value = raw.strip().lower()
    if value in TRUE:
        return True
    if value in FALSE:
        return False
    raise ImproperlyConfigured(f"{name}={raw!r} is neither yes nor no: use 1 or 0.")


def choice(name: str, *, default: str, allowed: tuple[str, ...]) -> str:
    """Return the variable `name`, which must be one of `allowed`."""
    value = os.environ.get(name, default)
    if value not in allowed:
        raise ImproperlyConfigured(f"{name}={value!r} is not one of {', '.join(allowed)}.")
    return value


def integer(name: str, *, default: int, lower: int, upper: int) -> int:
    """Return the whole number `name`, which must lie in [lower, upper]."""
    raw = os.environ.get(name, str(default))
    try:
        value = int(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={raw!r} is not a whole number.") from None
    if not lower <= value <= upper:
        raise ImproperlyConfigured(f"{name}={value} is not between {lower} and {upper}.")
    return value


def names(name: str) -> list[str]:
    """Return the comma-separated list `name`, without blanks."""
    return [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]


def currency(name: str, *, default: str) -> str:
    """Return the variable `name`, three capital letters as ISO 4217 writes a currency."""
    value = os.environ.get(name, default)
    if len(value) != 3 or not value.isascii() or not value.isalpha() or not value.isupper():
        raise ImproperlyConfigured(f"{name}={value!r} is not a currency's code: write three capital letters, like EUR.")
    return value


def time_zone(name: str, *, default: str) -> str:
    """Return the variable `name`, a time zone that this machine knows."""
    value = os.environ.get(name, default)
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError) as error:  # ZoneInfoNotFoundError is a KeyError; a folder's name an OSError
        raise ImproperlyConfigured(f"{name}={value!r} is no time zone: write one like Europe/Berlin.") from error
    return value


def web_address(name: str, *, default: str) -> str:
    """Return the variable `name`, the address under which people reach the product, without a slash at its end."""
    value = os.environ.get(name) or default
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ImproperlyConfigured(f"{name}={value!r} is no web address: write one like https://holdout.example.com.")
    return value.rstrip("/")


def networks(name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Return the comma-separated networks `name`, like 10.1.0.0/16."""
    found = []
    for part in names(name):
        try:
            found.append(ipaddress.ip_network(part))
        except ValueError as error:
            raise ImproperlyConfigured(f"{name}: {part!r} is no network: write one like 10.1.0.0/16.") from error
    return found


def data_folder(name: str, *, default: Path, parts: tuple[str, ...]) -> Path:
    """Return the folder `name`, made with its `parts` where they are missing, private to the user."""
    folder = Path(os.environ.get(name) or default).resolve()
    try:
        for part in ("", *parts):
            (folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"{name}: {folder} cannot be made: {error.strerror}.") from error
    return folder


def secret(name: str, *, file: Path) -> tuple[str, bool]:
    """Return (secret, whether it was generated): the variable `name`, else the private file, made at the first call.

    The file is created with mode 0600 and `O_EXCL`, so two processes that start together agree on one secret.
    """
    given = os.environ.get(name)
    if given:
        return given, False
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _written_secret(file), True
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secrets.token_urlsafe(50))
    return _written_secret(file), True


def _written_secret(file: Path) -> str:
    value = file.read_text().strip()
    if not value:
        raise ImproperlyConfigured(f"{file} is empty: delete it and start again, a new secret is then made.")
    return value


def database(url: str, *, sqlite_options: dict[str, Any]) -> dict[str, Any]:
    """Return Django's settings for the database `url` (SQLite or PostgreSQL)."""
    try:
        with warnings.catch_warnings(action="ignore"):  # what the library warns of is refused below
            settings: dict[str, Any] = dict(env.db_url_config(url))
    except ValueError as error:
        raise ImproperlyConfigured(f"DATABASE_URL={_without_password(url)!r}: {error}.") from error
    engine = str(settings.get("ENGINE") or "no known kind of database")
    if engine.endswith("sqlite3"):
        return settings | {"OPTIONS": sqlite_options}
    if engine.endswith("postgresql"):
        return settings | {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}
    raise ImproperlyConfigured(f"DATABASE_URL names {engine}: Holdout runs on SQLite and PostgreSQL.")


def redis(name: str) -> str:
    """Return the address `name` of a Redis server; empty where there is none."""
    url = os.environ.get(name, "").strip()
    if url and not url.startswith(("redis://", "rediss://", "unix://")):
        raise ImproperlyConfigured(f"{name}={_without_password(url)!r} is no address of Redis: redis://host:6379/0.")
    return url


def prefixed(prefix: str) -> dict[str, str]:
    """Return the variables whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in os.environ.items() if name.startswith(prefix)}


def mailbox(name: str) -> str:
    """Return the place `name` of a mailbox to read: a folder, or an IMAP or POP3 address; empty where there is none."""
    value = os.environ.get(name, "").strip()
    scheme, _colon, rest = value.partition("://")
    if rest and (scheme not in {"imap", "imaps", "pop3", "pop3s"} or "@" not in rest):
        raise ImproperlyConfigured(
            f"{name}={_without_password(value)!r} is no mailbox: imaps://user:password@host/INBOX, or a folder."
        )
    return value


def email(name: str, *, default: str) -> dict[str, Any]:
    """Return Django's settings for the mail server `name`."""
    url = os.environ.get(name) or default
    try:
        return dict(env.email_url_config(url))
    except (KeyError, ValueError, ImproperlyConfigured) as error:
        raise ImproperlyConfigured(
            f"{name}={_without_password(url)!r} is no address of a mail server: smtp+tls://user:password@host:587."
        ) from error


def _without_password(url: str) -> str:
    return re.sub(r"(?<=//).*@", "…@", url)


def is_test_run() -> bool:
    """Tell whether pytest runs this process."""
    return "pytest" in sys.modules
