"""Rules, holds, prepared slates, and what a training knows of running experiments."""

import django.db.models.deletion
from django.db import migrations, models


def guard_again(apps, schema_editor):
    """SQLite changes a table by making it anew, without its triggers."""
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute(
            "CREATE TRIGGER IF NOT EXISTS recommender_strategy_version_immutable "
            "BEFORE UPDATE ON recommender_strategyversion FOR EACH ROW WHEN 1 = 1 "
            "BEGIN SELECT RAISE(ABORT, 'a version of a strategy never changes'); END"
        )


class Migration(migrations.Migration):
    dependencies = [
        ("recommender", "0002_guards"),
    ]

    operations = [
        migrations.CreateModel(
            name="PreparedSlate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("recommendation_id", models.UUIDField(unique=True, verbose_name="recommendation id")),
                ("user_id", models.CharField(max_length=200, verbose_name="user id")),
                ("held_by", models.CharField(blank=True, max_length=100, verbose_name="held by")),
                ("items", models.JSONField(verbose_name="items")),
                ("scores", models.JSONField(verbose_name="scores")),
                ("reasons", models.JSONField(verbose_name="reasons")),
                ("propensities", models.JSONField(verbose_name="propensities")),
                ("sources", models.JSONField(verbose_name="sources")),
                ("fallback", models.CharField(blank=True, max_length=60, verbose_name="fallback")),
                ("fallback_reason", models.CharField(blank=True, max_length=30, verbose_name="reason of the fallback")),
                ("short_reason", models.CharField(blank=True, max_length=30, verbose_name="reason of a short slate")),
                ("context", models.JSONField(default=dict, verbose_name="context")),
                ("at", models.BigIntegerField(verbose_name="at (µs)")),
                ("duration_us", models.IntegerField(verbose_name="duration in µs")),
                ("batch", models.CharField(max_length=100, verbose_name="batch")),
            ],
            options={
                "verbose_name": "prepared slate",
                "verbose_name_plural": "prepared slates",
            },
        ),
        migrations.CreateModel(
            name="StrategyHold",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("holder", models.CharField(max_length=100, verbose_name="held by")),
                ("since", models.DateTimeField(verbose_name="since")),
            ],
            options={
                "verbose_name": "held version",
                "verbose_name_plural": "held versions",
            },
        ),
        migrations.RemoveConstraint(
            model_name="modelversion",
            name="one_published_model_per_strategy",
        ),
        migrations.AddField(
            model_name="item",
            name="min_age",
            field=models.PositiveSmallIntegerField(
                default=0,
                help_text="Shown only to people known to be of this age; 0: to everybody.",
                verbose_name="minimum age",
            ),
        ),
        migrations.AddField(
            model_name="item",
            name="stock",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Empty: not counted. At 0 the item is not recommended.",
                null=True,
                verbose_name="stock",
            ),
        ),
        migrations.AddField(
            model_name="modelversion",
            name="arms",
            field=models.JSONField(default=dict, verbose_name="experiments in the data"),
        ),
        migrations.AddField(
            model_name="modelversion",
            name="report",
            field=models.JSONField(default=dict, verbose_name="evaluation report"),
        ),
        migrations.AddField(
            model_name="modelversion",
            name="unreadable_since",
            field=models.DateTimeField(null=True, verbose_name="unreadable since"),
        ),
        migrations.AddField(
            model_name="slate",
            name="held_by",
            field=models.CharField(blank=True, max_length=100, verbose_name="held by"),
        ),
        migrations.AddField(
            model_name="strategyversion",
            name="leave_out_treated",
            field=models.BooleanField(
                default=False,
                help_text="Leaves out what people in a running experiment did after they met its treatment.",
                verbose_name="train without what treated people did",
            ),
        ),
        migrations.AddField(
            model_name="strategyversion",
            name="rules",
            field=models.JSONField(default=dict, verbose_name="rules"),
        ),
        migrations.AlterField(
            model_name="slate",
            name="model_version",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="%(class)ss",
                to="recommender.modelversion",
                verbose_name="model version",
            ),
        ),
        migrations.AlterField(
            model_name="slate",
            name="strategy_version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="%(class)ss",
                to="recommender.strategyversion",
                verbose_name="strategy version",
            ),
        ),
        migrations.AddIndex(
            model_name="slate",
            index=models.Index(
                condition=models.Q(("held_by", ""), _negated=True), fields=["held_by", "at"], name="slate_by_holder"
            ),
        ),
        migrations.AddConstraint(
            model_name="modelversion",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status", "published")),
                fields=("strategy_version",),
                name="one_published_model_per_version",
            ),
        ),
        migrations.AddField(
            model_name="preparedslate",
            name="model_version",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="%(class)ss",
                to="recommender.modelversion",
                verbose_name="model version",
            ),
        ),
        migrations.AddField(
            model_name="preparedslate",
            name="strategy_version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="%(class)ss",
                to="recommender.strategyversion",
                verbose_name="strategy version",
            ),
        ),
        migrations.AddField(
            model_name="strategyhold",
            name="strategy",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="holds",
                to="recommender.strategy",
                verbose_name="strategy",
            ),
        ),
        migrations.AddField(
            model_name="strategyhold",
            name="strategy_version",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="holds",
                to="recommender.strategyversion",
                verbose_name="strategy version",
            ),
        ),
        migrations.AddIndex(
            model_name="preparedslate",
            index=models.Index(fields=["at"], name="prepared_slate_by_time"),
        ),
        migrations.AddConstraint(
            model_name="preparedslate",
            constraint=models.UniqueConstraint(fields=("batch", "user_id"), name="one_prepared_slate_per_person"),
        ),
        migrations.AddConstraint(
            model_name="strategyhold",
            constraint=models.UniqueConstraint(fields=("holder", "strategy"), name="one_held_version_per_holder"),
        ),
        migrations.AddConstraint(
            model_name="strategyhold",
            constraint=models.CheckConstraint(
                condition=models.Q(("holder", ""), _negated=True), name="strategy_holder_is_given"
            ),
        ),
        migrations.RunPython(guard_again, migrations.RunPython.noop),
    ]
