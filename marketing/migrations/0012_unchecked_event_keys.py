"""PostgreSQL no longer looks the source and the type of each event up.

On SQLite the constraints stay: they cost little there, and to take them away would rebuild the whole table without its
triggers.
"""

import django.db.models.deletion
from django.db import migrations, models


class AlterOnPostgres(migrations.AlterField):
    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    dependencies = [
        ("marketing", "0011_archive"),
    ]

    operations = [
        AlterOnPostgres(
            model_name="event",
            name="source",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                to="marketing.source",
            ),
        ),
        AlterOnPostgres(
            model_name="event",
            name="type",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                to="marketing.eventtype",
            ),
        ),
    ]
