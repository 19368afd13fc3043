"""Trigger: a version of a holdout is closed once and otherwise never changes, so that any past day can be told."""

from django.db import migrations

COLUMNS = ("layer_id", "unit_type", "number", "share", "seed", "starts_at")
DIFFERS = {
    "sqlite": " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in COLUMNS) + " OR OLD.ends_at IS NOT NULL",
    "postgresql": " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in COLUMNS)
    + " OR OLD.ends_at IS NOT NULL",
}
NAME, TABLE, MESSAGE = "experiments_holdout_immutable", "experiments_holdout", "a version of a holdout never changes"


def create_guard(apps, schema_editor):
    when = DIFFERS[schema_editor.connection.vendor]
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute(
            f"CREATE TRIGGER {NAME} BEFORE UPDATE ON {TABLE} FOR EACH ROW WHEN {when} "
            f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
        )
        return
    schema_editor.execute(
        f"CREATE FUNCTION {NAME}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {when} THEN RAISE EXCEPTION '{MESSAGE}' USING ERRCODE = 'integrity_constraint_violation'; END IF; "
        "RETURN NEW; END $$"
    )
    schema_editor.execute(
        f"CREATE TRIGGER {NAME} BEFORE UPDATE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION {NAME}()"
    )


def drop_guard(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute(f"DROP TRIGGER {NAME}")
        return
    schema_editor.execute(f"DROP TRIGGER {NAME} ON {TABLE}")
    schema_editor.execute(f"DROP FUNCTION {NAME}()")


class Migration(migrations.Migration):
    dependencies = [("experiments", "0003_holdout")]

    operations = [migrations.RunPython(create_guard, drop_guard)]
