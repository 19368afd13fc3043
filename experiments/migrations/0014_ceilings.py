"""Guardrails with a ceiling; the trigger that keeps a registered plan's metrics watches it, too."""

from django.db import migrations, models

METRIC_COLUMNS = ("experiment_id", "metric_id", "role", "margin", "ceiling", "window_hours")
NAME = "experiments_metric_registered"
TABLE = "experiments_experimentmetric"
MESSAGE = "the metrics of a registered plan never change"
REGISTERED = {
    "sqlite": "json_extract(e.plan, '$.registered_at') IS NOT NULL",
    "postgresql": "(e.plan ->> 'registered_at') IS NOT NULL",
}


def _condition(vendor, columns):
    word = "IS NOT" if vendor == "sqlite" else "IS DISTINCT FROM"
    changed = " OR ".join(f"NEW.{column} {word} OLD.{column}" for column in columns)
    return (
        f"({changed}) AND EXISTS "
        f"(SELECT 1 FROM experiments_experiment e WHERE e.id = OLD.experiment_id AND {REGISTERED[vendor]})"  # noqa: S608 (constants)
    )


def _guard(schema_editor, columns):
    vendor = schema_editor.connection.vendor
    condition = _condition(vendor, columns)
    if vendor == "sqlite":  # adding a column made the table anew, without its triggers
        schema_editor.execute(f"DROP TRIGGER IF EXISTS {NAME}")
        schema_editor.execute(
            f"CREATE TRIGGER {NAME} BEFORE UPDATE ON {TABLE} FOR EACH ROW WHEN {condition} "
            f"BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"
        )
        return
    schema_editor.execute(
        f"CREATE OR REPLACE FUNCTION {NAME}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {condition} THEN RAISE EXCEPTION '{MESSAGE}' USING ERRCODE = 'integrity_constraint_violation'; END IF; "
        f"RETURN NEW; END $$"
    )


def guard(apps, schema_editor):
    _guard(schema_editor, METRIC_COLUMNS)


def guard_as_before(apps, schema_editor):
    _guard(schema_editor, [column for column in METRIC_COLUMNS if column != "ceiling"])


def nothing(apps, schema_editor):
    pass


class Migration(migrations.Migration):
    dependencies = [("experiments", "0013_plan_guards")]

    operations = [
        # Backwards this runs last, when the column is gone.
        migrations.RunPython(nothing, guard_as_before),
        migrations.AddField(
            model_name="experimentmetric",
            name="ceiling",
            field=models.FloatField(
                blank=True,
                help_text=(
                    "Guardrails that the control cannot have: the highest rate of a treated arm that is acceptable."
                ),
                null=True,
                verbose_name="ceiling",
            ),
        ),
        migrations.AddConstraint(
            model_name="experimentmetric",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("ceiling__isnull", True),
                    models.Q(("ceiling__gt", 0), ("ceiling__lt", 1), ("margin__isnull", True), ("role", "guardrail")),
                    _connector="OR",
                ),
                name="experiment_metric_ceiling_of_guardrail",
            ),
        ),
        migrations.RunPython(guard, nothing),
    ]
