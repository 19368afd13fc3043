"""Statement 20: erasure is deletion. Everything is searched afterwards, and only the tombstone is left."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import connection

from marketing.choices import IdentityKind, ImportKind, NoticeStatus, SourceKind
from marketing.models import (
    ArchivedPart,
    DataRecipient,
    DeadLetter,
    ErasureNotice,
    Event,
    Identity,
    Profile,
    Tombstone,
)
from marketing.selectors.archive import archive_folder
from marketing.services import notices
from marketing.services.archive import archive_events
from marketing.services.drain import drain
from marketing.services.imports import import_file
from marketing.services.mapping import RowMapping
from marketing.services.privacy import erase_profile
from marketing.services.tombstones import identity_hash
from marketing.spooling.writer import SpoolWriter
from tests.experiments.channels.receivers import webhook_receiver
from tests.factories.marketing import NOW, give_consent, make_profile, make_source, send, track

pytestmark = pytest.mark.django_db
ERASED = NOW + timedelta(hours=1)
AFTER = NOW + timedelta(hours=2)
ADDRESS = "ann.zzyzx@example.org"
TRACES = ("ann-zzyzx-7", "ann-crm-zzyzx", ADDRESS)


def tables() -> str:
    """All rows of all tables of the product as text, but the tombstones."""
    found = []
    with connection.cursor() as cursor:
        for model in apps.get_models():
            if model == Tombstone or not model._meta.managed:
                continue
            cursor.execute(f"SELECT * FROM {model._meta.db_table}")
            found += [f"{model._meta.db_table}: {row}" for row in cursor.fetchall()]
    return "\n".join(found)


def files(folder: Path) -> str:
    """All files under the folder as text; Parquet is read, since it is packed."""
    import pyarrow.parquet as pq

    found = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix in (".sqlite3", ".sqlite3-wal", ".sqlite3-shm"):
            continue  # the database is searched table by table
        if path.suffix == ".parquet":
            found.append(f"{path.name}: {pq.read_table(path).to_pylist()}")
        else:
            found.append(f"{path.name}: {path.read_bytes().decode('latin-1')}")
    return "\n".join(found)


def make_ann() -> Profile:
    """Somebody with a trace in every kind of store."""
    ann = make_profile(user_id=TRACES[0], email=ADDRESS)
    give_consent(ann)
    crm = {"context": {"identity": {"kind": "crm", "value": TRACES[1]}}}
    send(track("Product Viewed", user=TRACES[0], product_id="p1") | crm)
    send(track("Order Completed", user=TRACES[0], at=NOW - timedelta(days=400), revenue=5))
    send({"type": "track", "userId": TRACES[0], "messageId": "bad", "event": ""})
    send({"type": "identify", "userId": "x" * 300, "messageId": "bad2", "traits": {"email": ADDRESS.upper()}})
    archive_events(at=NOW, keep_days=90)
    return ann


@pytest.fixture
def data_dir(tmp_path: Path, settings: Any) -> Path:
    settings.DATA_DIR = tmp_path
    for part in ("spool", "models", "archive", "exports"):
        (tmp_path / part).mkdir()
    return tmp_path


def test_compliance_20__erased_person__is_in_no_table_and_no_file(
    data_dir: Path, django_capture_on_commit_callbacks: Any
) -> None:
    ann, bob = make_ann(), make_profile(user_id="bob")
    numbers = (str(ann.public_id), ann.public_id.hex)
    assert DeadLetter.objects.count() == 2
    assert ArchivedPart.objects.exists()
    assert all(trace in tables() for trace in TRACES)
    identity_ids = set(Identity.objects.filter(profile=ann).values_list("pk", flat=True))
    source = make_source()
    envelope = {
        "id": "e",
        "at": int(NOW.timestamp() * 1e6),
        "source": source.pk,
        "kind": "",
        "body": {"batch": [track("Product Viewed", user=TRACES[0], at=NOW, product_id="p2")]},
    }
    writer = SpoolWriter(data_dir / "spool")
    writer.write(json.dumps(envelope).encode() + b"\n")
    writer.close()
    assert TRACES[0] in files(data_dir)

    with django_capture_on_commit_callbacks(execute=True):
        erase_profile(profile_id=ann.pk, at=ERASED)
        drain(at=AFTER)  # what was collected before the erasure, and stored only now

    left = tables() + files(data_dir)
    hashes = [hashlib.sha256(trace.encode()).hexdigest() for trace in TRACES]
    for trace in (*TRACES, ADDRESS.upper(), *numbers, *hashes):
        assert trace not in left
    parts = list(archive_folder().rglob("*.parquet"))
    assert parts
    assert f"'identity_id': {min(identity_ids)}," not in files(archive_folder())
    assert not Event.objects.filter(profile=ann.pk).exists()
    assert list(Profile.objects.values_list("pk", flat=True)) == [bob.pk]
    keys = [(IdentityKind.USER_ID.value, TRACES[0]), (IdentityKind.CRM.value, TRACES[1])]
    expected = {identity_hash(key) for key in (*keys, (IdentityKind.EMAIL.value, ADDRESS))}
    assert set(Tombstone.objects.values_list("identity_hash", flat=True)) == expected


def test_compliance_20__tombstone__is_keyed() -> None:
    key = (IdentityKind.EMAIL.value, ADDRESS)
    text = f"email:{ADDRESS}"
    assert identity_hash(key) not in (
        hashlib.sha256(text.encode()).hexdigest(),
        hmac.new(b"", text.encode(), hashlib.sha256).hexdigest(),
    )
    assert identity_hash((IdentityKind.EMAIL.value, f" {ADDRESS.upper()} ")) == identity_hash(key)
    assert django_settings.SECRET_KEY not in identity_hash(key)


def test_compliance_20__older_records_sent_again__bring_nobody_back() -> None:
    erase_profile(profile_id=make_ann().pk, at=ERASED)
    late = send(track("Product Viewed", user=TRACES[0], at=NOW, product_id="p1"), at=AFTER)
    assert (late.accepted, late.erased, late.rejected) == (0, [0], [])
    named = {"type": "identify", "userId": "somebody-else", "messageId": "m", "timestamp": NOW.isoformat()}
    assert send(named | {"traits": {"email": ADDRESS}}, at=AFTER).erased == [0]
    assert not Profile.objects.exists()
    assert TRACES[0] not in tables()


def test_compliance_20__import__brings_nobody_back_and_keeps_no_row(tmp_path: Path) -> None:
    erase_profile(profile_id=make_ann().pk, at=ERASED)
    path = tmp_path / "people.csv"
    path.write_text(f"user_id,email,consent_marketing_email\n{TRACES[0]},{ADDRESS},yes\nbob,bob@example.org,yes\n")
    for _ in range(2):
        summary = import_file(
            kind=ImportKind.PROFILES, path=path, mapping=RowMapping(), at=AFTER + timedelta(days=1), is_again=True
        )
        assert (summary.accepted, summary.rejected, summary.consents <= 1) == (1, 1, True)
    rejected = path.with_name("people.csv.rejected.csv").read_text()
    assert "1,this person was erased; an import brings nobody back," in rejected
    assert ADDRESS not in rejected
    assert TRACES[0] not in tables()
    assert [str(one) for one in Identity.objects.filter(kind="user_id")] == ["user_id:bob"]


def test_compliance_20__new_sign_up__is_a_new_person() -> None:
    old = make_ann()
    erase_profile(profile_id=old.pk, at=ERASED)
    made = send({"type": "identify", "userId": TRACES[0], "messageId": "m1", "timestamp": AFTER.isoformat()}, at=AFTER)
    assert (made.accepted, made.profiles_created) == (1, 1)
    new = Profile.objects.get(identities__value=TRACES[0])
    assert new.public_id != old.public_id
    again = send(
        track("Order Completed", user=TRACES[0], at=NOW, revenue=5),
        track("Order Completed", user=TRACES[0], at=AFTER, revenue=7),
        at=AFTER,
    )
    assert (again.accepted, again.erased) == (1, [0])
    # Now that the person is back, an import may add what is newer than the erasure.
    imported = make_source("crm", SourceKind.IMPORT)
    rows = [track("Order Completed", user=TRACES[0], at=at, revenue=9) for at in (NOW, AFTER + timedelta(hours=1))]
    assert send(*rows, source=imported, at=AFTER + timedelta(hours=2)).erased == [0]


def test_ingest__no_tombstone_of_the_batch__stores_as_ever() -> None:
    erase_profile(profile_id=make_ann().pk, at=ERASED)
    assert send(track("Product Viewed", user="bob", product_id="p1")).accepted == 1


def test_compliance_20__recipients__are_told_and_the_news_is_deleted(settings: Any) -> None:
    settings.ALERT_NETWORKS = [ipaddress.ip_network("127.0.0.0/8")]
    with webhook_receiver() as received:
        shop = DataRecipient.objects.create(name="shop", url=received.url, identity_kinds=["user_id", "email"])
        DataRecipient.objects.create(name="ads", url=received.url, identity_kinds=["device"])
        DataRecipient.objects.create(name="old", url=received.url, identity_kinds=["user_id"], is_active=False)
        erase_profile(profile_id=make_ann().pk, at=ERASED)
        assert ErasureNotice.objects.get().recipient == shop
        call_command("send_erasure_notices")

        ((headers, raw),) = received.requests
    body = json.loads(raw)
    assert body["type"] == "profile.erased"
    told = {(row["kind"], row["value"]) for row in body["data"]["identities"]}
    assert told == {("user_id", TRACES[0]), ("email", ADDRESS)}
    key = base64.b64decode(notices.signing_secret(recipient=shop).removeprefix("whsec_"))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + raw
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    notice = ErasureNotice.objects.get()
    assert (notice.status, notice.identities, notice.attempts_n) == (NoticeStatus.SENT, [], 1)
    assert not any(trace in tables() for trace in TRACES)


def test_notice__receiver_never_answers__is_given_up_without_a_name(settings: Any) -> None:
    settings.ALERT_NETWORKS = [ipaddress.ip_network("127.0.0.0/8")]
    DataRecipient.objects.create(name="shop", url="http://127.0.0.1:9/hook", identity_kinds=["user_id"])
    erase_profile(profile_id=make_ann().pk, at=ERASED)
    at = ERASED
    for attempt in range(1, len(notices.WAITS) + 2):
        assert notices.send_due(at=at).failed_n == 1
        notice = ErasureNotice.objects.get()
        assert notice.attempts_n == attempt
        assert notices.send_due(at=at) == notices.Sent(0, 0)
        at = notice.due_at
    assert (notice.status, notice.identities) == (NoticeStatus.FAILED, [])
    assert "Refused" in notice.error
    assert not any(trace in tables() for trace in TRACES)
