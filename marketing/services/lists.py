"""Segments whose members come from files: a list is a trait of its own, which the rule asks for.

So everything that segments can do, lists can: conditions, explanations, history, merges, export, erasure. A file names
people by an identity; nobody is made by it, and whoever is not known is a rejected row.
"""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F

from marketing.choices import IdentityKind, ImportKind, ListMode, SourceKind, TraitType
from marketing.errors import CannotEditSegment, CannotImport
from marketing.models import ImportRun, Profile, ProfileTrait, Segment, TraitDefinition
from marketing.segmentation.clock import to_micros
from marketing.segmentation.rules import fingerprint
from marketing.services.changes import mark_changed
from marketing.services.files import FileRow, open_table, sha256_of
from marketing.services.imports import BATCH, Progress, Rejects, reject_file
from marketing.services.mapping import RowMapping, check_columns, first_identity
from marketing.services.membership import refresh_segment
from marketing.services.messages import IdentityKey
from marketing.services.profiles import declare_trait
from marketing.services.resolution import find
from marketing.services.segments import create_segment, free_slug
from marketing.services.sources import ensure_source
from marketing.services.traits import Statement, apply

SOURCE: Final = "lists"
GONE: Final = 5_000
KEPT: Final = timedelta(days=7)
"""For so long the rejected rows of an upload can be fetched."""


@dataclass(frozen=True, slots=True)
class ListSummary:
    """What a file did, over all the runs of its import; a person whom a batch names twice is counted as known."""

    run_id: int
    rows: int
    accepted: int
    duplicates: int
    rejected: int
    rejected_file: Path | None
    members: int


@transaction.atomic
def create_list(
    *, name: str, at: datetime, actor: User | None = None, description: str = "", is_marketing: bool = False
) -> Segment:
    """Make a segment that nobody is in until a file says so."""
    slug = free_slug(name)
    trait = declare_trait(key=f"list_{slug.replace('-', '_')}"[:64], name=name, type_=TraitType.BOOLEAN)
    return create_segment(
        slug=slug,
        name=name,
        description=description,
        rule={"schema": 1, "root": {"trait": trait.key, "op": "is_set"}},
        is_marketing=is_marketing,
        is_list=True,
        at=at,
        actor=actor,
    )


def import_members(
    *,
    segment_id: int,
    path: Path,
    at: datetime,
    mode: ListMode = ListMode.ADD,
    mapping: RowMapping | None = None,
    file_name: str = "",
    report: Progress = lambda _step, _done, _total: None,
) -> ListSummary:
    """Read a file of members from where its last import stopped, a finished one from its beginning; then refresh.

    Raises `CannotImport` where the file cannot be read, `CannotEditSegment` where the segment is no list.
    """
    segment = Segment.objects.select_related("version").get(pk=segment_id)
    definition = _definition(segment)
    mapping = RowMapping() if mapping is None else mapping
    size = path.stat().st_size
    with open_table(path) as table:
        if table.columns is not None:
            check_columns(table.columns, mapping, is_events=False)
        run = _begin(segment, path, _Wish(mapping, mode, file_name or path.name), at)
        work = _Work(run=run, definition=definition, mapping=mapping, mode=mode)
        rejected_file = path.with_name(path.name + ".rejected.csv")
        with reject_file(rejected_file, run.rejected_bytes) as rejects:
            rows = islice(table.rows, run.next_row, None)
            while batch := list(islice(rows, BATCH)):
                work.store(batch, rejects)
                report(run.file_name, min(table.position(), size), size)
    if mode == ListMode.REPLACE:
        _drop_older(definition, to_micros(run.started_at))
    ImportRun.objects.filter(pk=run.pk).update(finished_at=at)
    refreshed = refresh_segment(segment_id=segment.pk, at=at)
    run.refresh_from_db()
    return ListSummary(
        run_id=run.pk,
        rows=run.next_row,
        accepted=run.accepted,
        duplicates=run.duplicates,
        rejected=run.rejected,
        rejected_file=rejected_file if run.rejected else None,
        members=refreshed.members,
    )


def _definition(segment: Segment) -> TraitDefinition:
    if not segment.is_list or segment.version is None or segment.archived_at is not None:
        raise CannotEditSegment(f"segment {segment.slug} is no list in use: its members come from a rule")
    return TraitDefinition.objects.get(key=segment.version.rule["root"]["trait"])


def keep_upload(*, chunks: Iterable[bytes]) -> Path:
    """Write an uploaded file where the worker finds it; `CannotImport`, and no file, if no row of it can be read."""
    folder = upload_folder()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{secrets.token_hex(16)}.csv"
    try:
        with path.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
        with open_table(path) as table:
            if table.columns is not None:
                check_columns(table.columns, RowMapping(), is_events=False)
    except CannotImport:
        path.unlink(missing_ok=True)
        raise
    return path


def keep_values(*, column: str, values: Iterable[str]) -> Path:
    """Write down identities of one kind as if they had been uploaded; return the file for the worker."""
    text = io.StringIO()
    csv.writer(text).writerows([(column,), *((value,) for value in values)])
    return keep_upload(chunks=[text.getvalue().encode()])


def import_upload(*, segment_id: int, name: str, mode: ListMode, file_name: str, at: datetime) -> None:
    """Import a kept upload; the file goes, and the rejected rows stay for whoever uploaded it."""
    path = upload_folder() / Path(name).name
    if not path.exists():
        return  # another worker has done it
    summary = import_members(segment_id=segment_id, path=path, at=at, mode=mode, file_name=file_name)
    kept = rejected_rows(summary.run_id)
    kept.unlink(missing_ok=True)
    if summary.rejected_file is not None:
        summary.rejected_file.replace(kept)
    path.unlink(missing_ok=True)
    _drop_old_files(at)


def rejected_rows(run_id: int) -> Path:
    """Where the rejected rows of an upload are kept for a week; there may be none."""
    return upload_folder() / f"rejected-{run_id}.csv"


def upload_folder() -> Path:
    return Path(settings.DATA_DIR) / "uploads"


def _drop_old_files(at: datetime) -> None:
    oldest = (at - KEPT).timestamp()
    for path in upload_folder().glob("*.csv"):
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)


def _begin(segment: Segment, path: Path, work: _Wish, at: datetime) -> ImportRun:
    stated = {"segment": segment.slug, "mode": work.mode.value, **work.mapping.as_json()}
    run, _ = ImportRun.objects.get_or_create(
        kind=ImportKind.MEMBERS,
        source=ensure_source(name=SOURCE, kind=SourceKind.IMPORT, at=at),
        file_sha256=sha256_of(path),
        mapping_sha256=fingerprint(stated),
        defaults={"file_name": work.file_name[:255], "mapping": stated, "started_at": at},
    )
    if run.finished_at is not None:
        ImportRun.objects.filter(pk=run.pk).update(
            next_row=0, accepted=0, duplicates=0, rejected=0, rejected_bytes=0, started_at=at, finished_at=None
        )
        run.refresh_from_db()
    return run


@dataclass(frozen=True, slots=True)
class _Wish:
    mapping: RowMapping
    mode: ListMode
    file_name: str


@dataclass(slots=True)
class _Work:
    run: ImportRun
    definition: TraitDefinition
    mapping: RowMapping
    mode: ListMode

    def store(self, rows: Sequence[FileRow], rejects: Rejects) -> None:
        """Store a batch: its people, the rejected rows and the place where to go on, all or none of it."""
        problems = [(row, row.problem) for row in rows if row.values is None]
        named = [(row, first_identity(row.values, self.mapping)) for row in rows if row.values is not None]
        with transaction.atomic():
            people = _known({key for _, key in named if key is not None})
            ids: dict[int, None] = {}
            known = 0
            for row, key in named:
                if key is None:
                    problems.append((row, "no column says who"))
                elif len(people.get(key, ())) != 1:
                    who = "several people are" if people.get(key) else "nobody is"
                    problems.append((row, f"{who} known by this {key[0]}"))
                else:
                    known += 1
                    ids[people[key][0]] = None
            self._change(list(ids))
            rejects.write(sorted(problems, key=lambda pair: pair[0].number))
            moved = ImportRun.objects.filter(pk=self.run.pk, next_row=self.run.next_row).update(
                next_row=F("next_row") + len(rows),
                accepted=F("accepted") + len(ids),
                duplicates=F("duplicates") + known - len(ids),
                rejected=F("rejected") + len(problems),
                rejected_bytes=rejects.size,
            )
            if not moved:
                raise CannotImport(f"another process is importing {self.run.file_name}")
        self.run.next_row += len(rows)

    def _change(self, ids: Sequence[int]) -> None:
        if self.mode == ListMode.REMOVE:
            ProfileTrait.objects.filter(definition=self.definition, profile__in=ids).delete()
            mark_changed(profile_ids=ids)
            return
        at = to_micros(self.run.started_at)
        apply(statements=[Statement(pk, at, {self.definition.key: True}) for pk in ids], source_id=self.run.source_id)


def _known(keys: Collection[IdentityKey]) -> dict[IdentityKey, list[int]]:
    """Return whom each identity names. An address that is nobody's identity is looked for among the traits."""
    found = {key: [person.profile_id] for key, person in find(keys).items()}
    kind = IdentityKind.EMAIL.value
    addresses = [value for given, value in keys if given == kind and (kind, value) not in found]
    rows = Profile.objects.living().filter(email__in=addresses).order_by("pk")
    for profile_id, address in rows.values_list("pk", "email"):
        found.setdefault((kind, address), []).append(profile_id)
    return found


def _drop_older(definition: TraitDefinition, at: int) -> None:
    """Take out whoever the file did not name, a chunk at a time."""
    rows = ProfileTrait.objects.filter(definition=definition, number__isnull=False, at__lt=at).order_by("pk")
    while found := list(rows.values_list("pk", "profile_id")[:GONE]):
        with transaction.atomic():
            ProfileTrait.objects.filter(pk__in=[pk for pk, _ in found]).delete()
            mark_changed(profile_ids=[profile_id for _, profile_id in found])
