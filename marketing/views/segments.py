"""Segments in the back office: list, detail with members, the builder with its live count."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from marketing import tasks
from marketing.errors import BadRule, CannotEditSegment
from marketing.forms.builder import MATCHES, PROPERTY_OPS, Builder, act, new_builder, read_builder
from marketing.forms.lists import UploadForm
from marketing.forms.rules import builder_of, rule_of
from marketing.forms.segments import SegmentForm, choices, group_views
from marketing.models import Segment
from marketing.selectors import rule_insight, rule_words
from marketing.selectors import segments as reads
from marketing.selectors.profiles import get_profile, people
from marketing.selectors.rule_changes import version_changes
from marketing.services import segments as services
from marketing.services.proxies import find_proxies
from marketing.views.lists import imports_context

PER_PAGE: Final = 25
MEMBERS_PER_PAGE: Final = 50
SOME: Final = 5  # people shown while a rule is written


def _actor(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # login_required
    return request.user


@login_required
@permission_required("marketing.view_segment", raise_exception=True)
@require_GET
def segment_list(request: HttpRequest) -> HttpResponse:
    """List the segments with their rules in words."""
    archived = "archived" in request.GET
    page = Paginator(reads.list_segments(archived=archived), PER_PAGE).get_page(request.GET.get("page"))
    known = rule_words.names()
    rows = [
        (segment, rule_words.describe(segment.version.rule, known) if segment.version else None) for segment in page
    ]
    return render(request, "marketing/segments/list.html", {"page": page, "rows": rows, "archived": archived})


@login_required
@permission_required("marketing.view_segment", raise_exception=True)
@require_GET
def segment_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a segment: its rule in words, its members, who came and went."""
    segment = _segment(slug)
    page = Paginator(reads.members(segment_id=segment.pk), MEMBERS_PER_PAGE).get_page(request.GET.get("page"))
    rule = segment.version.rule if segment.version else None
    known = rule_words.names()
    context = {
        "segment": segment,
        "page": page,
        "sentence": rule_words.describe(rule, known) if rule else None,
        "changes": reads.recent_changes(segment_id=segment.pk),
        "versions": version_changes(reads.versions(segment_id=segment.pk), known),
        "is_stale": segment.version_id != segment.refreshed_version_id,
        "rule_json": json.dumps(rule, indent=2, ensure_ascii=False),
    }
    if segment.is_list:
        context |= {"upload_form": UploadForm(), **imports_context(segment)}
    return render(request, "marketing/segments/detail.html", context)


@login_required
@permission_required("marketing.view_segment", raise_exception=True)
@require_GET
def segment_overlap(request: HttpRequest, slug: str) -> HttpResponse:
    """Answer with the other segments that its members are in; the detail page asks for it after it is shown."""
    return render(request, "marketing/segments/_overlap.html", {"overlaps": reads.overlap(segment=_segment(slug))})


@login_required
@permission_required("marketing.add_segment", raise_exception=True)
@require_http_methods(["GET", "POST"])
def segment_new(request: HttpRequest) -> HttpResponse:
    """Make a segment with the builder."""
    if request.method == "GET":
        return _form_page(request, SegmentForm(), new_builder())
    form, builder = SegmentForm(request.POST), read_builder(request.POST)
    rule = rule_of(builder, reads.vocabulary())
    if not form.is_valid() or rule is None:
        return _form_page(request, form, builder)
    try:
        segment = services.create_segment(
            name=form.cleaned_data["name"],
            description=form.cleaned_data["description"],
            is_marketing=form.cleaned_data["is_marketing"],
            protected_reason=form.cleaned_data["protected_reason"],
            rule=rule,
            at=timezone.now(),
            actor=_actor(request),
        )
    except BadRule as error:
        form.add_error(None, str(error))
        return _form_page(request, form, builder)
    return _saved(request, segment)


@login_required
@permission_required("marketing.change_segment", raise_exception=True)
@require_http_methods(["GET", "POST"])
def segment_edit(request: HttpRequest, slug: str) -> HttpResponse:
    """Give a segment another rule, as a new version. A rule beyond the builder is edited as JSON."""
    segment = _segment(slug)
    rule = segment.version.rule if segment.version else {"root": {"all": []}}
    if request.method == "GET":
        form = SegmentForm(initial={name: getattr(segment, name, "") for name in SegmentForm.base_fields})
        builder = builder_of(rule)
        raw = "" if builder else json.dumps(rule, indent=2, ensure_ascii=False)
        return _form_page(request, form, builder, segment=segment, raw=raw)
    form = SegmentForm(request.POST)
    raw = request.POST.get("rule_json", "")
    builder = None if raw else read_builder(request.POST)
    try:
        new = json.loads(raw) if builder is None else rule_of(builder, reads.vocabulary())
        if not form.is_valid() or new is None:
            return _form_page(request, form, builder, segment=segment, raw=raw)
        services.edit_segment(
            segment_id=segment.pk,
            rule=new,
            at=timezone.now(),
            actor=_actor(request),
            name=form.cleaned_data["name"],
            description=form.cleaned_data["description"],
            is_marketing=form.cleaned_data["is_marketing"],
            protected_reason=form.cleaned_data["protected_reason"],
        )
    except (ValueError, RecursionError):
        form.add_error(None, _("The rule is not JSON."))
        return _form_page(request, form, builder, segment=segment, raw=raw)
    except (BadRule, CannotEditSegment) as error:
        form.add_error(None, str(error))
        return _form_page(request, form, builder, segment=segment, raw=raw)
    return _saved(request, segment)


@login_required
@permission_required("marketing.view_segment", raise_exception=True)
@require_POST
def segment_builder(request: HttpRequest) -> HttpResponse:
    """Answer with the builder after one of its buttons."""
    builder = read_builder(request.POST)
    act(builder, request.POST.get("do", ""), request.POST)
    context = _builder_context(builder, without=request.POST.get("slug", ""))
    return render(request, "marketing/segments/_builder.html", context)


@login_required
@permission_required("marketing.view_segment", raise_exception=True)
@require_POST
def segment_count(request: HttpRequest) -> HttpResponse:
    """Answer with the number of people of the rule as typed, and the rule in words."""
    raw = request.POST.get("rule_json", "")
    context: dict[str, Any] = {}
    try:
        rule = json.loads(raw) if raw else rule_of(read_builder(request.POST), reads.vocabulary())
        if rule is not None:
            context = _counted(request, rule)
    except BadRule as error:
        context = {"problem": str(error)}
    except (ValueError, RecursionError):
        context = {"problem": _("The rule is not JSON.")}
    return render(request, "marketing/segments/_count.html", context)


def _counted(request: HttpRequest, rule: Any) -> dict[str, Any]:
    """What is shown of a rule: of very many people first the count of a sample, then everybody's."""
    at = timezone.now()
    reads.read_rule(rule)
    if request.POST.get("is_marketing"):
        rule = reads.without_objectors(rule)
    count = reads.count(rule=rule, at=at, is_exact="exact" in request.GET)
    return {
        "count": count,
        "sentence": rule_words.describe(rule),
        "some": people(ids=reads.matching_ids(rule=rule, at=at, limit=SOME, is_sampled=count.is_sampled)),
        "overlaps": rule_insight.overlaps(rule=rule, at=at, found=count, without=request.POST.get("slug", "")),
        "sql": rule_insight.readable_sql(rule=rule, at=at),
    }


@login_required
@permission_required("marketing.change_segment", raise_exception=True)
@require_POST
def segment_refresh(request: HttpRequest, slug: str) -> HttpResponse:
    """Bring the members up to date."""
    segment = _segment(slug)
    _refresh(request, segment)
    return redirect(segment)


@login_required
@permission_required("marketing.change_segment", raise_exception=True)
@require_http_methods(["GET", "POST"])
def segment_archive(request: HttpRequest, slug: str) -> HttpResponse:
    """Take a segment out of use, after a question."""
    segment = _segment(slug)
    if request.method == "GET":
        return render(request, "marketing/segments/archive.html", {"segment": segment})
    try:
        services.archive_segment(segment_id=segment.pk, at=timezone.now(), actor=_actor(request))
    except CannotEditSegment as error:
        messages.error(request, str(error))
        return redirect(segment)
    messages.success(request, _("Archived “%(name)s”.") % {"name": segment.name})
    return redirect("marketing:segment-list")


@login_required
@permission_required("marketing.view_segment", raise_exception=True)
@permission_required("marketing.view_profile", raise_exception=True)
@require_GET
def segment_why(request: HttpRequest, slug: str, public_id: str) -> HttpResponse:
    """Explain condition by condition why somebody is in or out."""
    segment = _segment(slug)
    profile = get_profile(public_id=public_id)
    if profile is None or segment.version is None:
        raise Http404
    words = reads.vocabulary()
    explanation = reads.why(rule=segment.version.rule, profile_id=profile.pk, at=timezone.now())
    context = {
        "segment": segment,
        "profile": profile,
        "sentence": rule_words.describe_explanation(explanation, traits=words.traits),
        "is_stored": reads.is_member(segment_id=segment.pk, profile_id=profile.pk),
    }
    return render(request, "marketing/segments/why.html", context)


def _segment(slug: str) -> Segment:
    segment = reads.get_segment(slug=slug)
    if segment is None:
        raise Http404
    return segment


def _saved(request: HttpRequest, segment: Segment) -> HttpResponse:
    _refresh(request, segment)
    segment = _segment(segment.slug)  # with the rule that is in force now
    for proxy in find_proxies(rule=segment.version.rule) if segment.version else ():
        said = _(
            "“%(trait)s” predicts the protected trait “%(protected)s” (%(value)s) with an AUC of %(area).2f: "
            "this rule may sort people by it."
        )
        shown = {"trait": proxy.trait, "protected": proxy.protected, "value": proxy.value, "area": proxy.area}
        messages.warning(request, said % shown)
    return redirect(segment)


def _refresh(request: HttpRequest, segment: Segment) -> None:
    """Refresh at once where that is quick, and by the worker where it is not."""
    if reads.is_small():
        result = services.refresh_segment(segment_id=segment.pk, at=timezone.now())
        said = _("“%(name)s” has %(members)s members now (%(entered)s entered, %(left)s left).")
        messages.success(
            request,
            said % {"name": segment.name, "members": result.members, "entered": result.entered, "left": result.left},
        )
        return
    transaction.on_commit(partial(tasks.refresh_segment.delay, segment.pk))
    messages.info(request, _("The members of “%(name)s” are being counted.") % {"name": segment.name})


def _form_page(
    request: HttpRequest, form: SegmentForm, builder: Builder | None, *, segment: Segment | None = None, raw: str = ""
) -> HttpResponse:
    context: dict[str, Any] = {"form": form, "segment": segment, "raw": raw}
    if builder is not None:
        context |= _builder_context(builder, without=segment.slug if segment else "")
    return render(request, "marketing/segments/form.html", context)


def _builder_context(builder: Builder, *, without: str = "") -> dict[str, Any]:
    words, known = reads.vocabulary(), rule_words.names()
    return {
        "builder": builder,
        "groups": group_views(builder, words, known),
        "choices": choices(words, known, without=without),
        "matches": MATCHES,
        "property_ops": [(op, rule_words.OP_WORDS[op]) for op in PROPERTY_OPS],
        "without": without,
    }
