"""Addresses that get no marketing any more, kept as keyed hashes: they outlive the profile and name nobody."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from django.utils.crypto import salted_hmac

from marketing.choices import SuppressionReason
from marketing.models import Suppression

AT_ONCE = 500


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
    """Return which of the addresses are suppressed; a query for 500 of them."""
    by_hash = {address_hash(address): address for address in addresses}
    return {by_hash[known] for chunk in _chunks(sorted(by_hash)) for known in _known(chunk)}


def _known(hashes: list[str]) -> Iterable[str]:
    return Suppression.objects.filter(address_hash__in=hashes).values_list("address_hash", flat=True)


def _chunks(values: list[str]) -> Iterable[list[str]]:
    return (values[start : start + AT_ONCE] for start in range(0, len(values), AT_ONCE))
