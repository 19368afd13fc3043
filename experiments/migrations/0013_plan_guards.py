"""Triggers: the plan that was registered at the start never changes, nor what each metric is for."""

from django.db import migrations

COLUMNS = ("plan", "alpha", "power", "mde", "planned_size", "planned_days")
# A plan is registered once it says when; before that, the start itself writes it.
REGISTERED = {
    "sqlite": "json_extract(OLD.plan, '$.registered_at') IS NOT NULL",
    "postgresql": "(OLD.plan ->> 'registered_at') IS NOT NULL",
}
OF_METRIC = {
    "sqlite": "json_extract(e.plan, '$.registered_at') IS NOT NULL",
    "postgresql": "(e.plan ->> 'registered_at') IS NOT NULL",
}
METRIC_COLUMNS = ("experiment_id", "metric_id", "role", "margin", "window_hours")


def _changed(columns, vendor):
    word = "IS NOT" if vendor == "sqlite" else "IS DISTINCT FROM"
    return " OR ".join(f"NEW.{column} {word} OLD.{column}" for column in columns)


def _guards(vendor):
    yield (
        "plan_registered",
        "experiments_experiment",
        f"{REGISTERED[vendor]} AND ({_changed(COLUMNS, vendor)})",
        "the registered plan of an experiment never changes",
    )
    yield (
        "metric_registered",
        "experiments_experimentmetric",
        f"({_changed(METRIC_COLUMNS, vendor)}) AND EXISTS "
        f"(SELECT 1 FROM experiments_experiment e WHERE e.id = OLD.experiment_id AND {OF_METRIC[vendor]})",
        "the metrics of a registered plan never change",
    )


def create_guards(apps, schema_editor):
    vendor = schema_editor.connection.vendor
    for name, table, condition, message in _guards(vendor):
        if vendor == "sqlite":
            schema_editor.execute(
                f"CREATE TRIGGER experiments_{name} BEFORE UPDATE ON {table} FOR EACH ROW WHEN {condition} "
                f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
            )
            continue
        schema_editor.execute(
            f"CREATE FUNCTION experiments_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF {condition} THEN RAISE EXCEPTION '{message}' USING ERRCODE = 'integrity_constraint_violation'; END IF; "
            f"RETURN NEW; END $$"
        )
        schema_editor.execute(
            f"CREATE TRIGGER experiments_{name} BEFORE UPDATE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION experiments_{name}()"
        )


def drop_guards(apps, schema_editor):
    vendor = schema_editor.connection.vendor
    for name, table, *_ in _guards(vendor):
        if vendor == "sqlite":
            schema_editor.execute(f"DROP TRIGGER experiments_{name}")
        else:
            schema_editor.execute(f"DROP TRIGGER experiments_{name} ON {table}")
            schema_editor.execute(f"DROP FUNCTION experiments_{name}()")


class Migration(migrations.Migration):
    dependencies = [("experiments", "0012_metric_survey")]

    operations = [migrations.RunPython(create_guards, drop_guards)]
