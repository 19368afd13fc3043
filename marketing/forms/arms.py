"""The rows of arms on a campaign's form; the first one is the control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.http import QueryDict
from django.urls import reverse
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from marketing.choices import CampaignKind
from marketing.creatives.templates import LONGEST_SOURCE
from marketing.forms.words import read_words, write_words
from marketing.services.campaigns import MOST_ARMS, ArmDraft, Words, is_safe_target
from recommender.selectors import list_strategy_choices

PREFIX: Final = "arms"
USUAL_STRATEGY: Final = "popularity"
SHOWN: Final = (
    "name", "percent", "subject", "headline", "body", "button_text", "link", "image", "strategy", "item_count",
)  # fmt: skip


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
    translations = forms.CharField(
        label=_("Other languages"),
        max_length=4 * LONGEST_SOURCE,
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 2, "placeholder": "[de]\nsubject: …\nheadline: …\nbutton: …\n…"}),
        help_text=_(
            "A line with the language in brackets, then what differs: subject, headline, button, and the text below. "
            "What is missing stays as above."
        ),
    )
    strategy = forms.ChoiceField(label=_("Recommendations"), required=False)
    item_count = forms.IntegerField(label=_("Items"), min_value=1, max_value=24, initial=4)

    def __init__(self, *args: Any, is_mail: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["headline"].required = not is_mail  # the control of a sending may be silent
        field = self.fields["strategy"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", _("None: the words only")), *list_strategy_choices()]

    def clean_translations(self) -> tuple[Words, ...]:
        """Read the words of other languages; say which line cannot be read."""
        try:
            return read_words(self.cleaned_data["translations"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

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


def arm_initial(arm: ArmDraft) -> dict[str, Any]:
    """Return what a row shows for a stored arm."""
    return {name: getattr(arm, name) for name in SHOWN} | {"translations": write_words(arm.translations)}


def arm_of(row: ArmForm, position: int) -> ArmDraft:
    """Return what a row says."""
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
        translations=data.get("translations") or (),
    )
