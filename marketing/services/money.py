"""Amounts in other currencies, at the stored rate of the event's day."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.conf import settings

from marketing.models import ExchangeRate
from marketing.segmentation.clock import from_micros
from marketing.services.messages import Message


def reporting_day(micros: int) -> date:
    """Return the day of a moment in the reporting time zone."""
    return from_micros(micros).astimezone(ZoneInfo(settings.REPORTING_TIME_ZONE)).date()


class Rates:
    """The rates that a batch needs, read in one query."""

    def __init__(self, messages: Iterable[Message]) -> None:
        foreign = {
            (message.currency, reporting_day(message.at))
            for message in messages
            if message.amount is not None and self._is_foreign(message)
        }
        self._rates: dict[tuple[str, date], Decimal] = {}
        if foreign:
            rows = ExchangeRate.objects.filter(
                currency__in={currency for currency, _ in foreign}, day__in={day for _, day in foreign}
            )
            self._rates = {(row.currency, row.day): row.rate for row in rows}

    @staticmethod
    def _is_foreign(message: Message) -> bool:
        return bool(message.currency) and message.currency != settings.REPORTING_CURRENCY

    def is_known(self, message: Message) -> bool:
        """Tell whether the amount can be converted; an amount without a currency is in the reporting one."""
        return not self._is_foreign(message) or self.of(message) is not None

    def of(self, message: Message) -> Decimal | None:
        """Return the factor to the reporting currency; None if it is that already, or if no rate is stored."""
        if not self._is_foreign(message):
            return None
        return self._rates.get((message.currency, reporting_day(message.at)))
