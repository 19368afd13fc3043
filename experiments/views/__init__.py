"""Pages of experiments: `manage` for the record and its transitions, `results` for what was found out."""

from __future__ import annotations
