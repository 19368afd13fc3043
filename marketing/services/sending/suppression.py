"""Addresses that get no marketing any more, kept as keyed hashes: they outlive the profile and name nobody."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.utils.crypto import salted_hmac

from marketing.choices import SuppressionReason
from marketing.models import Suppression
from marketing.services.bulk import select_by


def address_hash(address: str) -> str:
    """Return the keyed hash under which an address is known."""
    return salted_hmac("marketing.suppression", address.strip().lower(), algorithm="sha256").hexdigest()


def suppress(*, address: str, reason: SuppressionReason, at: datetime) -> bool:
    """Suppress an address; False where it was already. The first reason stays."""
    _row, is_new = Suppression.objects.get_or_create(
        address_hash=address_hash(address), defaults={"reason": reason, "at": at}
    )
    return is_new


def lift(*, address: str) -> bool:
    """Take an address off the list (it was a mistake); False where it was not on it."""
    removed, _each = Suppression.objects.filter(address_hash=address_hash(address)).delete()
    return bool(removed)


def suppressed(*, addresses: Collection[str]) -> set[str]:
    """Return which of the addresses are suppressed; one query."""
    by_hash = {address_hash(address): address for address in addresses}
    table = Suppression._meta.db_table
    sql = f"SELECT address_hash FROM {table} WHERE address_hash IN {{values}}"  # noqa: S608 - a constant
    return {by_hash[known] for (known,) in select_by(sql=sql, values=by_hash.keys())}
