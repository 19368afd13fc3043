"""Legal states by name, made through the services."""

from __future__ import annotations
