#!/usr/bin/env python3
"""Django's command line."""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError, ProgrammingError

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        _refuse(str(error))
    except (OperationalError, ProgrammingError) as error:
        from config.checks import has_missing_migrations

        if not has_missing_migrations():
            raise
        _refuse(f"The database is not prepared ({error}). Run manage.py migrate, then manage.py prepare.")


def _refuse(why: str) -> NoReturn:
    """End with one sentence instead of a traceback: what an operator can put right."""
    sys.stderr.write(f"{why}\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
