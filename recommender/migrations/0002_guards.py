"""Triggers: the change log is append-only, a strategy's versions never change."""

from django.db import migrations

GUARDS = (
    # name, table, event, condition, message
    (
        "changelog_no_update",
        "recommender_changelog",
        "UPDATE OF object_type, object_id, transition, at, message, snapshot",
        "1 = 1",
        "the change log is append-only",
    ),
    (
        "changelog_no_actor",  # a back-office user may be deleted: then the actor becomes unknown
        "recommender_changelog",
        "UPDATE OF actor_id",
        "NEW.actor_id IS NOT NULL",
        "the change log is append-only",
    ),
    ("changelog_no_delete", "recommender_changelog", "DELETE", "1 = 1", "the change log is append-only"),
    (
        "strategy_version_immutable",
        "recommender_strategyversion",
        "UPDATE",
        "1 = 1",
        "a version of a strategy never changes",
    ),
)


def create_guards(apps, schema_editor):
    for name, table, event, condition, message in GUARDS:
        if schema_editor.connection.vendor == "sqlite":
            schema_editor.execute(
                f"CREATE TRIGGER recommender_{name} BEFORE {event} ON {table} FOR EACH ROW WHEN {condition} "
                f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
            )
            continue
        row = "OLD" if event == "DELETE" else "NEW"
        schema_editor.execute(
            f"CREATE FUNCTION recommender_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF {condition} THEN RAISE EXCEPTION '{message}' USING ERRCODE = 'integrity_constraint_violation'; END IF; "
            f"RETURN {row}; END $$"
        )
        schema_editor.execute(
            f"CREATE TRIGGER recommender_{name} BEFORE {event} ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION recommender_{name}()"
        )


def drop_guards(apps, schema_editor):
    for name, table, *_rest in GUARDS:
        if schema_editor.connection.vendor == "sqlite":
            schema_editor.execute(f"DROP TRIGGER recommender_{name}")
        else:
            schema_editor.execute(f"DROP TRIGGER recommender_{name} ON {table}")
            schema_editor.execute(f"DROP FUNCTION recommender_{name}()")


class Migration(migrations.Migration):
    dependencies = [("recommender", "0001_initial")]
    operations = [migrations.RunPython(create_guards, drop_guards)]
