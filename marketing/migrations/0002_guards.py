"""Append-only tables are guarded by the database, whoever writes.

On SQLite Django rebuilds a table when one of its columns is altered, and a rebuilt table has lost
its triggers: a later migration that alters one of these tables runs `guard` again.
"""

from __future__ import annotations

from django.db import migrations

# What may still change: a merge re-points the profile, and nothing else.
FROZEN = {
    "marketing_event": [
        "id",
        "source_id",
        "message_id",
        "identity_id",
        "type_id",
        "at",
        "item",
        "value",
        "currency",
        "order_id",
        "recommendation_id",
        "props",
    ],
    "marketing_consent": [
        "id",
        "purpose",
        "granted",
        "lawful_basis",
        "text_version",
        "text_sha256",
        "source",
        "at",
        "evidence",
    ],
    "marketing_changelog": [
        "id",
        "object_type",
        "object_id",
        "transition",
        "actor_id",
        "at",
        "message",
        "snapshot",
    ],
    "marketing_segmentversion": [
        "id",
        "segment_id",
        "number",
        "rule",
        "sha256",
        "created_at",
        "created_by_id",
    ],
}


def guard(apps, schema_editor):
    quote = schema_editor.quote_name
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "CREATE OR REPLACE FUNCTION marketing_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = '23000'; END $$",
            params=None,  # the % is PL/pgSQL's, not a placeholder
        )
        ending = "FOR EACH ROW EXECUTE FUNCTION marketing_append_only()"
    else:
        ending = "FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'this table is append-only'); END"
    for table, columns in FROZEN.items():
        names = ", ".join(quote(column) for column in columns)
        schema_editor.execute(f"CREATE TRIGGER {table}_frozen BEFORE UPDATE OF {names} ON {table} {ending}")


def unguard(apps, schema_editor):
    on_table = schema_editor.connection.vendor == "postgresql"
    for table in FROZEN:
        schema_editor.execute(f"DROP TRIGGER IF EXISTS {table}_frozen" + (f" ON {table}" if on_table else ""))
    if on_table:
        schema_editor.execute("DROP FUNCTION IF EXISTS marketing_append_only()")


class Migration(migrations.Migration):
    dependencies = [("marketing", "0001_initial")]

    operations = [migrations.RunPython(guard, unguard)]
