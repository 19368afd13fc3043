from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("marketing", "0016_mail_feedback"),
    ]

    operations = [
        migrations.AddField(
            model_name="segment",
            name="is_marketing",
            field=models.BooleanField(
                default=False,
                help_text="For direct marketing: whoever objected to it is never a member.",
            ),
        ),
        migrations.AddField(
            model_name="segment",
            name="seen_change",
            field=models.BigIntegerField(default=0, help_text="The last of the changes that the last refresh saw."),
        ),
        migrations.AddField(
            model_name="segment",
            name="is_list",
            field=models.BooleanField(default=False, help_text="Its members come from files, not from behaviour."),
        ),
        migrations.CreateModel(
            name="ChangedProfile",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "cause",
                    models.CharField(
                        choices=[
                            ("event", "behaviour or trait changed"),
                            ("clock", "time passed"),
                            ("definition", "the rule was edited"),
                            ("consent", "consent changed"),
                            ("merge", "profiles were merged"),
                        ],
                        max_length=10,
                    ),
                ),
                ("claim", models.CharField(blank=True, default="", max_length=32)),
                (
                    "profile",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="marketing.profile",
                    ),
                ),
            ],
            options={
                "verbose_name": "changed profile",
                "verbose_name_plural": "changed profiles",
            },
        ),
    ]
