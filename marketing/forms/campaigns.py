"""The one form on which a marketer makes a campaign, and its rows of arms."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy as _

from experiments.selectors import list_metrics
from marketing.choices import CampaignKind, CrashPolicy, Purpose
from marketing.forms.arms import BaseArms, arm_initial, arm_of
from marketing.forms.sending import SendingFields, sending_fields, sending_initial
from marketing.models import Segment, Sender
from marketing.services.campaigns import CampaignDraft, free_slug

PURPOSES: Final = (Purpose.ANALYTICS, Purpose.PERSONALIZATION)
MOMENT: Final = "%Y-%m-%dT%H:%M"
"""What a browser's date and time field sends and understands."""


class CampaignForm(SendingFields):
    """Who, what for, and how large the question is."""

    kind = forms.ChoiceField(
        choices=CampaignKind.choices, initial=CampaignKind.PAGE, widget=forms.HiddenInput, required=False
    )
    name = forms.CharField(label=_("Name"), max_length=100)
    segment = forms.ChoiceField(label=_("People"), required=False)
    consent_purposes = forms.MultipleChoiceField(
        label=_("Consents these people must have given"),
        choices=[(purpose.value, purpose.label) for purpose in PURPOSES],
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text=_("Whoever has not given them sees the default and is in no arm."),
    )
    goal_metric = forms.ChoiceField(label=_("Goal"), help_text=_("The one number that decides."))
    guardrail_metrics = forms.MultipleChoiceField(
        label=_("Guardrails"),
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text=_("What must not get worse: harm that is shown stops the verdict."),
    )
    no_control_reason = forms.CharField(
        label=_("Why nobody is in the control group"),
        max_length=300,
        required=False,
        help_text=_("Only if the control's share is 0 %. Without a control nobody can say what the campaign caused."),
    )
    baseline = forms.FloatField(
        label=_("Rate without the campaign (%)"),
        min_value=0.01,
        max_value=99,
        initial=5,
        help_text=_("Your best guess."),
    )
    mde = forms.FloatField(
        label=_("Smallest lift worth finding (%)"),
        min_value=0.1,
        max_value=500,
        initial=20,
        help_text=_("Relative: 5 % → 6 % is a lift of 20 %."),
    )
    people_per_day = forms.IntegerField(
        label=_("People per day"), min_value=1, max_value=100_000_000, initial=1000, help_text=_("New ones who see it.")
    )

    # E-mail only.
    sender = forms.ChoiceField(
        label=_("Sender"), required=False, help_text=_("Its postal address is in every message.")
    )
    window_from = forms.IntegerField(label=_("Send from (hour)"), min_value=0, max_value=23, initial=8, required=False)
    window_until = forms.IntegerField(
        label=_("Send until (hour)"),
        min_value=1,
        max_value=24,
        initial=20,
        required=False,
        help_text=_("In the recipient's time zone."),
    )
    per_minute = forms.IntegerField(
        label=_("Messages per minute"), min_value=1, required=False, help_text=_("Empty: as fast as it goes.")
    )
    crash_policy = forms.ChoiceField(
        label=_("If a worker dies while sending"),
        choices=CrashPolicy.choices,
        initial=CrashPolicy.HOLD,
        required=False,
    )
    starts_at = forms.DateTimeField(
        label=_("Start"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=MOMENT),
        help_text=_("Empty: when you launch it."),
    )
    ends_at = forms.DateTimeField(
        label=_("End"),
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=MOMENT),
        help_text=_("Empty: when you finish it. Times are UTC."),
    )

    def clean(self) -> dict[str, Any]:
        """Refuse an end that comes before the start."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        starts_at, ends_at = data.get("starts_at"), data.get("ends_at")
        if starts_at and ends_at and ends_at <= starts_at:
            self.add_error("ends_at", _("The end must come after the start."))
        first, last = data.get("window_from"), data.get("window_until")
        if first is not None and last is not None and last <= first:
            self.add_error("window_until", _("The last hour must come after the first."))
        self.check_cadence(data)
        return data

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        metrics = [(metric.key, metric.name) for metric in list_metrics()]
        segments = Segment.objects.filter(archived_at__isnull=True).order_by("name", "pk")
        self._choose("segment", [("", _("Everybody")), *((str(segment.pk), _named(segment)) for segment in segments)])
        self._choose("trigger_segment", [("", "—"), *((str(segment.pk), _named(segment)) for segment in segments)])
        self._choose(
            "sender", [("", "—"), *((str(sender.pk), str(sender)) for sender in Sender.objects.order_by("name"))]
        )
        self._choose("goal_metric", metrics)
        self._choose("guardrail_metrics", metrics)

    def _choose(self, name: str, choices: list[tuple[str, Any]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices


def initial_of(draft: CampaignDraft) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what the form and its rows show for a stored draft."""
    fields = {
        "name": draft.name,
        "segment": str(draft.segment_id or ""),
        "consent_purposes": list(draft.consent_purposes),
        "goal_metric": draft.goal_metric,
        "guardrail_metrics": list(draft.guardrail_metrics),
        "no_control_reason": draft.no_control_reason,
        "baseline": round(draft.baseline * 100, 6),
        "mde": round(draft.mde * 100, 6),
        "people_per_day": draft.people_per_day,
        "starts_at": draft.starts_at,
        "ends_at": draft.ends_at,
        "kind": draft.kind,
        "sender": str(draft.sender_id or ""),
        "window_from": draft.window_from,
        "window_until": draft.window_until,
        "per_minute": draft.per_minute,
        "crash_policy": draft.crash_policy,
        **sending_initial(draft),
    }
    return fields, [arm_initial(arm) for arm in draft.arms]


def draft_from(*, form: CampaignForm, arms: BaseArms, slug: str = "") -> CampaignDraft:
    """Return what the form says; where a field is wrong or empty, the draft has the neutral value.

    The live checklist reads half-filled forms with it; a view that stores calls it on valid forms only.
    """
    data = form.cleaned_data
    return CampaignDraft(
        slug=slug or free_slug(name=data.get("name", "")),
        name=data.get("name", ""),
        segment_id=int(data["segment"]) if data.get("segment") else None,
        goal_metric=data.get("goal_metric", ""),
        guardrail_metrics=tuple(data.get("guardrail_metrics", ())),
        consent_purposes=tuple(data.get("consent_purposes", ())),
        no_control_reason=data.get("no_control_reason", ""),
        baseline=(data.get("baseline") or 0) / 100,
        mde=(data.get("mde") or 0) / 100,
        people_per_day=data.get("people_per_day") or 0,
        starts_at=data.get("starts_at"),
        ends_at=data.get("ends_at"),
        kind=data.get("kind") or CampaignKind.PAGE.value,
        sender_id=int(data["sender"]) if data.get("sender") else None,
        window_from=_hour(data.get("window_from"), 8),
        window_until=_hour(data.get("window_until"), 20),
        per_minute=data.get("per_minute"),
        crash_policy=data.get("crash_policy") or CrashPolicy.HOLD.value,
        **sending_fields(data),
        arms=tuple(arm_of(row, position) for position, row in enumerate(arms.kept())),
    )


def _hour(given: int | None, usual: int) -> int:
    return usual if given is None else given


def _named(segment: Segment) -> Any:
    return _("%(name)s (%(people)s)") % {"name": segment.name, "people": segment.members_n}
