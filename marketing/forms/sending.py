"""When and how often a campaign is sent, and what it costs: the part of the form below the fold."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext_lazy as _

from marketing.choices import Cadence
from marketing.services.campaigns import EVERY_DAY, CampaignDraft

MICRO: Final = 1_000_000
SHARES: Final = ("margin", "unsubscribe_ceiling", "complaint_ceiling")
TIMING: Final = ("expires_hours", "every_days", "trigger_event", "delay_minutes", "cancel_event", "again_days")


class SendingFields(forms.Form):
    """The fields, for the one form of a campaign."""

    weekdays = forms.TypedMultipleChoiceField(
        label=_("Send on"),
        choices=list(WEEKDAYS.items()),
        coerce=int,
        initial=list(EVERY_DAY),
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text=_("In the recipient's time zone. None chosen: every day."),
    )
    expires_hours = forms.IntegerField(
        label=_("Too late after (hours)"),
        min_value=1,
        max_value=10_000,
        required=False,
        help_text=_("A message that could not go so long after its time is not sent any more. Empty: it waits."),
    )
    cadence = forms.ChoiceField(label=_("Sent"), choices=Cadence.choices, initial=Cadence.ONCE, required=False)
    every_days = forms.IntegerField(
        label=_("Every so many days"),
        min_value=1,
        max_value=366,
        required=False,
        help_text=_("Each time the audience is chosen anew; everybody keeps the arm."),
    )
    trigger_event = forms.CharField(
        label=_("After this event"),
        max_length=100,
        required=False,
        widget=forms.TextInput(attrs={"list": "event-names"}),
        help_text=_("For example Product Added."),
    )
    trigger_segment = forms.ChoiceField(label=_("Or on entering this segment"), required=False)
    delay_minutes = forms.IntegerField(
        label=_("So many minutes later"), min_value=0, max_value=525_600, initial=0, required=False
    )
    cancel_event = forms.CharField(
        label=_("Unless this happened since"),
        max_length=100,
        required=False,
        widget=forms.TextInput(attrs={"list": "event-names"}),
        help_text=_("For example Order Completed."),
    )
    again_days = forms.IntegerField(
        label=_("The same person again after (days)"),
        min_value=1,
        max_value=3_660,
        required=False,
        help_text=_("Empty: once."),
    )
    fixed_cost = forms.DecimalField(
        label=_("Fixed cost"), min_value=0, max_value=1_000_000_000, decimal_places=6, initial=0, required=False
    )
    message_cost = forms.DecimalField(
        label=_("Cost per message"), min_value=0, max_value=1_000_000, decimal_places=6, initial=0, required=False
    )
    margin = forms.FloatField(
        label=_("Margin (%)"),
        min_value=0.01,
        max_value=100,
        required=False,
        help_text=_("Share of the revenue that is left after the goods. Without it no return can be told."),
    )
    unsubscribe_ceiling = forms.FloatField(
        label=_("Most unsubscribes (%)"),
        min_value=0.001,
        max_value=99,
        required=False,
        help_text=_("Of the people who get it. The control cannot unsubscribe from what it does not get."),
    )
    complaint_ceiling = forms.FloatField(
        label=_("Most complaints (%)"),
        min_value=0.001,
        max_value=99,
        required=False,
        help_text=_("Mailbox providers act from 0.1 % on."),
    )

    def check_cadence(self, data: dict[str, Any]) -> None:
        """Refuse a cadence that lacks what it needs."""
        cadence = data.get("cadence")
        if cadence == Cadence.RECURRING and not data.get("every_days"):
            self.add_error("every_days", _("Say after how many days it is sent again."))
        starts = [name for name in ("trigger_event", "trigger_segment") if data.get(name)]
        if cadence == Cadence.TRIGGERED and len(starts) != 1:
            self.add_error("trigger_event", _("It starts with an event or with a segment: give one of them."))


def sending_initial(draft: CampaignDraft) -> dict[str, Any]:
    """Return what the fields show for a stored draft."""
    return {
        "weekdays": list(draft.weekdays),
        "cadence": draft.cadence,
        "trigger_segment": str(draft.trigger_segment_id or ""),
        "fixed_cost": _amount(draft.fixed_cost),
        "message_cost": _amount(draft.message_cost),
        **{name: _in_percent(getattr(draft, name)) for name in SHARES},
        **{name: getattr(draft, name) for name in TIMING},
    }


def sending_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the fields say, as a draft holds it."""
    return {
        "weekdays": tuple(data.get("weekdays") or EVERY_DAY),
        "fixed_cost": _micro(data.get("fixed_cost")),
        "message_cost": _micro(data.get("message_cost")),
        **{name: _as_share(data.get(name)) for name in SHARES},
        **_cadence(data),
    }


def _cadence(data: Mapping[str, Any]) -> dict[str, Any]:
    """What belongs to another cadence than the chosen one is left out: nobody sees it on the form."""
    cadence = data.get("cadence") or Cadence.ONCE.value
    fields: dict[str, Any] = {"cadence": cadence, "expires_hours": data.get("expires_hours")}
    if cadence == Cadence.RECURRING:
        fields["every_days"] = data.get("every_days")
    if cadence == Cadence.TRIGGERED:
        fields["trigger_event"] = data.get("trigger_event", "")
        fields["trigger_segment_id"] = int(data["trigger_segment"]) if data.get("trigger_segment") else None
        fields["delay_minutes"] = data.get("delay_minutes") or 0
        fields["cancel_event"] = data.get("cancel_event", "")
        fields["again_days"] = data.get("again_days")
    return fields


def _amount(micro: int) -> Decimal:
    return Decimal(micro) / MICRO


def _micro(amount: Decimal | None) -> int:
    return int((amount or 0) * MICRO)


def _in_percent(share: float | None) -> float | None:
    return None if share is None else round(share * 100, 6)


def _as_share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100
