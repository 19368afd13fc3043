"""Trigger: an applied step of a ramp never changes and stays, so that the coverage of any past moment can be told."""

from django.db import migrations

TABLE, MESSAGE = "experiments_rampstep", "an applied step of a ramp never changes"
REAL = (
    "OLD.applied_at IS NOT NULL AND EXISTS (SELECT 1 FROM experiments_phase p JOIN experiments_experiment e "
    "ON e.id = p.experiment_id WHERE p.id = OLD.phase_id AND NOT e.is_demo)"
)
GUARDS = (
    ("experiments_ramp_step_no_update", "UPDATE", "OLD.applied_at IS NOT NULL", "NEW"),
    ("experiments_ramp_step_no_delete", "DELETE", REAL, "OLD"),
)


def create_guards(apps, schema_editor):
    for name, event, when, row in GUARDS:
        if schema_editor.connection.vendor == "sqlite":
            schema_editor.execute(
                f"CREATE TRIGGER {name} BEFORE {event} ON {TABLE} FOR EACH ROW WHEN {when} "
                f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
            )
            continue
        schema_editor.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF {when} THEN RAISE EXCEPTION '{MESSAGE}' USING ERRCODE = 'integrity_constraint_violation'; END IF; "
            f"RETURN {row}; END $$"
        )
        schema_editor.execute(
            f"CREATE TRIGGER {name} BEFORE {event} ON {TABLE} FOR EACH ROW EXECUTE FUNCTION {name}()"
        )


def drop_guards(apps, schema_editor):
    for name, _event, _when, _row in GUARDS:
        if schema_editor.connection.vendor == "sqlite":
            schema_editor.execute(f"DROP TRIGGER {name}")
        else:
            schema_editor.execute(f"DROP TRIGGER {name} ON {TABLE}")
            schema_editor.execute(f"DROP FUNCTION {name}()")


class Migration(migrations.Migration):
    dependencies = [("experiments", "0009_prerequisite")]

    operations = [migrations.RunPython(create_guards, drop_guards)]
