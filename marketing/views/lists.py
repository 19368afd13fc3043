"""Members in and out as files: lists made of uploads, and the export of any segment."""

from __future__ import annotations

from functools import partial

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import User
from django.db import transaction
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from marketing import tasks
from marketing.choices import ListMode
from marketing.errors import CannotEditSegment, CannotImport
from marketing.forms.lists import ListForm, UploadForm
from marketing.models import Segment
from marketing.selectors import segments as reads
from marketing.services import exports, lists, segments


@login_required
@permission_required("marketing.add_segment", raise_exception=True)
@require_http_methods(["GET", "POST"])
def list_new(request: HttpRequest) -> HttpResponse:
    """Make a list out of a file; a worker reads it."""
    form = ListForm(request.POST or None, request.FILES or None)
    if not form.is_valid():
        status = 422 if form.is_bound else 200
        return render(request, "marketing/segments/list_new.html", {"form": form}, status=status)
    file = form.cleaned_data["file"]
    try:
        path = lists.keep_upload(chunks=file.chunks())
    except CannotImport as error:
        form.add_error("file", str(error))
        return render(request, "marketing/segments/list_new.html", {"form": form}, status=422)
    segment = lists.create_list(
        name=form.cleaned_data["name"],
        is_marketing=form.cleaned_data["is_marketing"],
        at=timezone.now(),
        actor=_actor(request),
    )
    _import_soon(segment, path.name, ListMode.ADD, file.name)
    messages.info(request, _("The file is being read; the members appear here in a moment."))
    return redirect(segment)


@login_required
@permission_required("marketing.change_segment", raise_exception=True)
@require_POST
def segment_upload(request: HttpRequest, slug: str) -> HttpResponse:
    """Add, take out or replace a list's members by a file."""
    segment = _segment(slug)
    form = UploadForm(request.POST, request.FILES)
    if not segment.is_list or segment.archived_at is not None:
        messages.error(request, _("This segment's members come from its rule."))
    elif not form.is_valid():
        messages.error(request, " ".join(str(one) for found in form.errors.values() for one in found))
    else:
        try:
            path = lists.keep_upload(chunks=form.cleaned_data["file"].chunks())
        except CannotImport as error:
            messages.error(request, str(error))
        else:
            _import_soon(segment, path.name, ListMode(form.cleaned_data["mode"]), form.cleaned_data["file"].name)
            messages.info(request, _("The file is being read; the members appear here in a moment."))
    return redirect(segment)


@login_required
@permission_required("marketing.view_segment", raise_exception=True)
@require_GET
def segment_imports(request: HttpRequest, slug: str) -> HttpResponse:
    """Answer with how far a list's files are; the detail page asks again while one is being read."""
    segment = _segment(slug)
    return render(request, "marketing/segments/_imports.html", {"segment": segment, **imports_context(segment)})


@login_required
@permission_required("marketing.change_segment", raise_exception=True)
@require_GET
def segment_rejected(request: HttpRequest, slug: str, run_id: int) -> FileResponse:
    """Hand out the rejected rows of a file, with reasons."""
    path = lists.rejected_rows(run_id)
    if not reads.imports_of(slug=_segment(slug).slug).filter(pk=run_id).exists() or not path.exists():
        raise Http404
    return FileResponse(path.open("rb"), as_attachment=True, filename=f"{slug}-rejected.csv")


@login_required
@permission_required("marketing.view_segment", raise_exception=True)
@permission_required("marketing.view_profile", raise_exception=True)
@require_POST
def segment_export(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    """Stream the members as CSV; who took them is in the log of changes."""
    lines = exports.export_members(segment_id=_segment(slug).pk, at=timezone.now(), actor=_actor(request))
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{slug}.csv"'
    return response


@login_required
@permission_required("marketing.change_segment", raise_exception=True)
@require_POST
def segment_restore(request: HttpRequest, slug: str) -> HttpResponse:
    """Take an archived segment into use again."""
    segment = _segment(slug)
    try:
        segments.restore_segment(segment_id=segment.pk, at=timezone.now(), actor=_actor(request))
    except CannotEditSegment as error:
        messages.error(request, str(error))
        return redirect(segment)
    transaction.on_commit(partial(tasks.refresh_segment.delay, segment.pk), robust=True)
    messages.success(request, _("“%(name)s” is in use again.") % {"name": segment.name})
    return redirect(segment)


def imports_context(segment: Segment) -> dict[str, object]:
    """The last files of a list, for its page."""
    runs = list(reads.imports_of(slug=segment.slug)[:5])
    rows = [(run, lists.rejected_rows(run.pk).exists()) for run in runs]
    return {"imports": rows, "is_reading": any(run.finished_at is None for run in runs)}


def _import_soon(segment: Segment, name: str, mode: ListMode, file_name: str) -> None:
    task = partial(tasks.import_list.delay, segment_id=segment.pk, name=name, mode=mode.value, file_name=file_name)
    transaction.on_commit(task)


def _segment(slug: str) -> Segment:
    segment = reads.get_segment(slug=slug)
    if segment is None:
        raise Http404
    return segment


def _actor(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # login_required
    return request.user
