"""What endpoints of several apps take and show."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from config.webapi.endpoint import Strict

LONGEST_MESSAGE = 500


class MessageIn(Strict):
    """Why something is done, for the log of changes."""

    message = serializers.CharField(max_length=LONGEST_MESSAGE, allow_blank=True, default="")


class ChangeOut(serializers.Serializer[Any]):
    """One row of a log of changes."""

    id = serializers.IntegerField(source="pk")
    object_type = serializers.CharField()
    object_id = serializers.CharField()
    transition = serializers.CharField()
    actor = serializers.CharField(source="actor.username", allow_null=True, default=None)
    at = serializers.DateTimeField()
    message = serializers.CharField()
