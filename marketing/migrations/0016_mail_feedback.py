from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("marketing", "0015_computed_traits")]

    operations = [
        migrations.AddField(
            model_name="sender",
            name="return_path",
            field=models.EmailField(
                blank=True,
                help_text="The mailbox that `read_bounces` reads; empty: the address above.",
                max_length=254,
                verbose_name="bounces go to",
            ),
        ),
        migrations.CreateModel(
            name="MailFeedback",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("hard", "the mailbox does not exist"),
                            ("soft", "the mailbox could not be reached"),
                            ("blocked", "the message was refused"),
                            ("complaint", "called spam"),
                            ("left", "unsubscribed at the provider"),
                        ],
                        max_length=10,
                    ),
                ),
                ("address_hash", models.CharField(max_length=64)),
                ("arm_key", models.SlugField(blank=True, db_index=False, max_length=64)),
                (
                    "status",
                    models.CharField(blank=True, help_text="RFC 3463, such as 5.1.1.", max_length=12),
                ),
                ("source", models.CharField(max_length=20)),
                (
                    "report",
                    models.CharField(
                        help_text="The message and the kind, or the report's id.", max_length=80, unique=True
                    ),
                ),
                ("at", models.DateTimeField()),
                (
                    "campaign",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="feedback",
                        to="marketing.campaign",
                        db_index=False,
                    ),
                ),
            ],
            options={
                "verbose_name": "feedback to a message",
                "verbose_name_plural": "feedback to messages",
                "indexes": [
                    models.Index(fields=["address_hash", "kind", "at"], name="marketing_feedback_address"),
                    models.Index(fields=["campaign", "kind", "arm_key"], name="marketing_feedback_campaign"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(kind__in=["hard", "soft", "blocked", "complaint", "left"]),
                        name="marketing_feedback_kind",
                    )
                ],
            },
        ),
    ]
