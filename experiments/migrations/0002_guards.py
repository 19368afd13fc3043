"""Triggers: the change log is append-only, seeds never change, started phases are immutable.

Rows of the demo world may be deleted, so that "remove demo world" leaves nothing behind.
"""

from django.db import migrations

NOT_DEMO_LOG = {
    "sqlite": "COALESCE(json_extract(OLD.snapshot, '$.is_demo'), 0) <> 1",
    "postgresql": "COALESCE(OLD.snapshot ->> 'is_demo', 'false') <> 'true'",
}
STARTED_PHASE = "EXISTS (SELECT 1 FROM experiments_phase p WHERE p.id = {row}.phase_id AND p.started_at IS NOT NULL)"
STARTED_REAL_PHASE = (
    "EXISTS (SELECT 1 FROM experiments_phase p JOIN experiments_experiment e ON e.id = p.experiment_id "
    "WHERE p.id = OLD.phase_id AND p.started_at IS NOT NULL AND NOT e.is_demo)"
)
PHASE_CHANGED = " OR ".join(
    f"{new} IS DISTINCT FROM {old}"
    for old, new in (
        (f"OLD.{column}", f"NEW.{column}") for column in ("experiment_id", "number", "coverage", "started_at")
    )
)

# (name, table, event, condition, message); the condition may differ by vendor.
GUARDS = (
    (
        "changelog_no_update",
        "experiments_changelog",
        "UPDATE OF object_type, object_id, transition, at, message, snapshot",
        "1 = 1",
        "the change log is append-only",
    ),
    ("changelog_no_actor", "experiments_changelog", "UPDATE OF actor_id", "NEW.actor_id IS NOT NULL",
     "the change log is append-only"),
    ("changelog_no_delete", "experiments_changelog", "DELETE", NOT_DEMO_LOG, "the change log is append-only"),
    ("experiment_seed", "experiments_experiment", "UPDATE OF seed", "NEW.seed <> OLD.seed",
     "the seed of an experiment never changes"),
    (
        "phase_immutable",
        "experiments_phase",
        "UPDATE",
        {
            "sqlite": f"OLD.started_at IS NOT NULL AND ({PHASE_CHANGED} OR NEW.targeting IS NOT OLD.targeting)".replace(
                "IS DISTINCT FROM", "IS NOT"
            ),
            "postgresql": f"OLD.started_at IS NOT NULL AND ({PHASE_CHANGED} OR NEW.targeting IS DISTINCT FROM OLD.targeting)",
        },
        "a started phase is immutable",
    ),
    ("phase_arm_no_update", "experiments_phasearm", "UPDATE", STARTED_PHASE.format(row="OLD"),
     "the weights of a started phase are immutable"),
    ("phase_arm_no_insert", "experiments_phasearm", "INSERT", STARTED_PHASE.format(row="NEW"),
     "the weights of a started phase are immutable"),
    ("phase_arm_no_delete", "experiments_phasearm", "DELETE", STARTED_REAL_PHASE,
     "the weights of a started phase are immutable"),
)


def create_guards(apps, schema_editor):
    vendor = schema_editor.connection.vendor
    for name, table, event, condition, message in GUARDS:
        when = condition[vendor] if isinstance(condition, dict) else condition
        if vendor == "sqlite":
            schema_editor.execute(
                f"CREATE TRIGGER experiments_{name} BEFORE {event} ON {table} FOR EACH ROW WHEN {when} "
                f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
            )
            continue
        row = "OLD" if event == "DELETE" else "NEW"
        schema_editor.execute(
            f"CREATE FUNCTION experiments_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF {when} THEN RAISE EXCEPTION '{message}' USING ERRCODE = 'integrity_constraint_violation'; END IF; "
            f"RETURN {row}; END $$"
        )
        schema_editor.execute(
            f"CREATE TRIGGER experiments_{name} BEFORE {event} ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION experiments_{name}()"
        )


def drop_guards(apps, schema_editor):
    vendor = schema_editor.connection.vendor
    for name, table, *_ in GUARDS:
        if vendor == "sqlite":
            schema_editor.execute(f"DROP TRIGGER experiments_{name}")
        else:
            schema_editor.execute(f"DROP TRIGGER experiments_{name} ON {table}")
            schema_editor.execute(f"DROP FUNCTION experiments_{name}()")


class Migration(migrations.Migration):
    dependencies = [("experiments", "0001_initial")]

    operations = [migrations.RunPython(create_guards, drop_guards)]
