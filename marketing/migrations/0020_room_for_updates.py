"""Leave room in the pages of what every event changes.

Where the new version of a row fits into its page, PostgreSQL need not write it into each of the table's indexes again.
In full pages not one of 48,000 changes of activity rows fitted; now half of the people's rows in each chunk of the drain
do. Pages that are full already get the room as vacuum makes it.
"""

from django.db import migrations

TABLES = ("marketing_profile", "marketing_activity", "marketing_profilenews")
PERCENT = 70


def leave_room(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table in TABLES:
            schema_editor.execute(f"ALTER TABLE {table} SET (fillfactor = {PERCENT})")


def fill_up(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        for table in TABLES:
            schema_editor.execute(f"ALTER TABLE {table} RESET (fillfactor)")


class Migration(migrations.Migration):
    dependencies = [
        ("marketing", "0019_job_waits"),
    ]

    operations = [migrations.RunPython(leave_room, fill_up)]
