"""From a unit's id to a bucket, from a bucket to an arm: pure, deterministic, the same in every client."""

from __future__ import annotations
