"""The one form on which a marketer makes a campaign, and its rows of arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.http import QueryDict
from django.urls import reverse
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from experiments.selectors import list_metrics
from marketing.choices import CampaignKind, CrashPolicy, Purpose
from marketing.creatives.templates import LONGEST_SOURCE
from marketing.models import Campaign, Segment, Sender
from marketing.services.campaigns import MOST_ARMS, ArmDraft, CampaignDraft, is_safe_target
from recommender.selectors import list_strategy_choices

PREFIX: Final = "arms"
PURPOSES: Final = (Purpose.ANALYTICS, Purpose.PERSONALIZATION)
RESERVED: Final = frozenset(("new", "panel"))
"""Addresses of pages that stand where a campaign's slug would."""
MOMENT: Final = "%Y-%m-%dT%H:%M"
"""What a browser's date and time field sends and understands."""
USUAL_STRATEGY: Final = "popularity"
SLUG_LENGTH: Final = 56
"""Leaves room for a number at the end."""


class CampaignForm(forms.Form):
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
        return data

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        metrics = [(metric.key, metric.name) for metric in list_metrics()]
        segments = Segment.objects.filter(archived_at__isnull=True).order_by("name", "pk")
        self._choose("segment", [("", _("Everybody")), *((str(segment.pk), _named(segment)) for segment in segments)])
        self._choose(
            "sender", [("", "—"), *((str(sender.pk), str(sender)) for sender in Sender.objects.order_by("name"))]
        )
        self._choose("goal_metric", metrics)
        self._choose("guardrail_metrics", metrics)

    def _choose(self, name: str, choices: list[tuple[str, Any]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices


class ArmForm(forms.Form):
    """One arm: words and recommendations."""

    name = forms.CharField(label=_("Name of the arm"), max_length=100)
    percent = forms.IntegerField(label=_("Share (%)"), min_value=0, max_value=100, initial=0)
    subject = forms.CharField(
        label=_("Subject"),
        max_length=150,
        required=False,
        help_text=_("A control without a subject gets no message: that is the usual one."),
    )
    headline = forms.CharField(label=_("Headline"), max_length=120)
    body = forms.CharField(
        label=_("Text"), max_length=LONGEST_SOURCE, required=False, widget=forms.Textarea(attrs={"rows": 2})
    )
    button_text = forms.CharField(label=_("Button"), max_length=40, required=False)
    link = forms.CharField(
        label=_("Button leads to"), max_length=500, required=False, help_text=_("https://… or a path like /shop/")
    )
    image = forms.RegexField(
        label=_("Picture"),
        regex=r"^[\w./-]+$",
        max_length=200,
        required=False,
        help_text=_("A path below the static files."),
    )
    strategy = forms.ChoiceField(label=_("Recommendations"), required=False)
    item_count = forms.IntegerField(label=_("Items"), min_value=1, max_value=24, initial=4)

    def __init__(self, *args: Any, is_mail: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["headline"].required = not is_mail  # the control of a sending may be silent
        field = self.fields["strategy"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", _("None: the words only")), *list_strategy_choices()]

    def clean_link(self) -> str:
        """Refuse scripts, data and tricks: a click must lead to a web address."""
        link: str = self.cleaned_data["link"]
        if link and not is_safe_target(link):
            raise forms.ValidationError(_("This must be a web address (https://…) or a path of this site (/shop/)."))
        return link


if TYPE_CHECKING:
    _Rows = forms.BaseFormSet[ArmForm]
else:
    _Rows = forms.BaseFormSet


class BaseArms(_Rows):
    """The rows; the first one is the control."""

    def get_form_kwargs(self, index: int | None) -> dict[str, Any]:
        """Check every row: Django would let a row pass that was added and left as it is."""
        is_mail = self.data.get("kind") == CampaignKind.EMAIL
        return {**super().get_form_kwargs(index), "empty_permitted": False, "is_mail": is_mail}

    def clean(self) -> None:
        """Refuse rows that contradict each other; what is only unfinished is the checklist's business."""
        names = [form.cleaned_data.get("name") for form in self.kept()]
        if len(set(names)) < len(names):
            raise forms.ValidationError(_("Two arms have the same name."))

    def kept(self) -> list[ArmForm]:
        """Return the rows that were not removed."""
        return [form for form in self.forms if not form.cleaned_data.get("DELETE")]


_ArmFormSet = forms.formset_factory(
    ArmForm, formset=BaseArms, extra=0, can_delete=True, max_num=MOST_ARMS, validate_max=True
)


def arm_rows(*, data: QueryDict | None = None, initial: Sequence[Mapping[str, Any]] = ()) -> BaseArms:
    """Return the rows of arms, filled in from a request or from what is stored."""
    rows = _ArmFormSet(data, initial=[dict(row) for row in initial] or None, prefix=PREFIX)
    assert isinstance(rows, BaseArms)  # the factory's type is less exact than what it makes
    return rows


def first_arms(*, kind: str = CampaignKind.PAGE) -> list[dict[str, Any]]:
    """Return the rows of a new campaign, ready to be changed: the usual page, or no message, against personal picks."""
    slugs = [slug for slug, _name in list_strategy_choices()]
    usual = USUAL_STRATEGY if USUAL_STRATEGY in slugs else ""
    personal = next((slug for slug in slugs if slug != usual), "")
    if kind == CampaignKind.EMAIL:
        letter = {"subject": _("Picked for you"), "headline": _("Picked for you"), "strategy": personal}
        shop = {"button_text": _("Look around"), "link": reverse("marketing:shop"), "item_count": 4}
        return [
            {"percent": 50, "name": _("No message"), "item_count": 4},
            {"percent": 50, "name": _("Personal picks"), **letter, **shop},
        ]
    shared = {"percent": 50, "button_text": _("Look around"), "link": reverse("marketing:shop"), "item_count": 4}
    return [
        {**shared, "name": _("Usual page"), "headline": _("New in the shop"), "strategy": usual},
        {**shared, "name": _("Personal picks"), "headline": _("Picked for you"), "strategy": personal},
    ]


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
    }
    names = ("name", "percent", "subject", "headline", "body", "button_text", "link", "image", "strategy", "item_count")
    return fields, [{name: getattr(arm, name) for name in names} for arm in draft.arms]


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
        arms=tuple(_arm(row, position) for position, row in enumerate(arms.kept())),
    )


def free_slug(*, name: str) -> str:
    """Return a slug for the name that no campaign has."""
    start = slugify(name)[:SLUG_LENGTH] or "campaign"
    taken = RESERVED | set(Campaign.objects.filter(slug__startswith=start).values_list("slug", flat=True))
    candidates = (start, *(f"{start}-{number}" for number in range(2, len(taken) + 3)))
    return next(slug for slug in candidates if slug not in taken)


def _arm(row: ArmForm, position: int) -> ArmDraft:
    data = row.cleaned_data
    key = "control" if position == 0 else slugify(data.get("name", ""))[:50] or f"arm-{position}"
    return ArmDraft(
        key=f"arm-{position}" if position and key == "control" else key,
        name=data.get("name", ""),
        is_control=position == 0,
        percent=data.get("percent") or 0,
        subject=data.get("subject", ""),
        headline=data.get("headline", ""),
        body=data.get("body", ""),
        button_text=data.get("button_text", ""),
        link=data.get("link", ""),
        image=data.get("image", ""),
        strategy=data.get("strategy", ""),
        item_count=data.get("item_count") or 4,
    )


def _hour(given: int | None, usual: int) -> int:
    return usual if given is None else given


def _named(segment: Segment) -> Any:
    return _("%(name)s (%(people)s)") % {"name": segment.name, "people": segment.members_n}
