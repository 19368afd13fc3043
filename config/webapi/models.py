"""Answers kept for a day, so that a repeated request is answered and not done again."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

KEY_LENGTH = 200


class StoredAnswer(models.Model):
    """What the first request with an `Idempotency-Key` was answered, written in the transaction of what it did."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(_("idempotency key"), max_length=KEY_LENGTH)
    request_sha256 = models.CharField(_("fingerprint of the request"), max_length=64)
    status = models.PositiveSmallIntegerField(_("status"), default=0)
    headers = models.JSONField(_("headers"), default=dict)
    body = models.JSONField(_("body"), null=True)
    created_at = models.DateTimeField(_("created at"))

    class Meta:
        verbose_name = _("stored answer")
        verbose_name_plural = _("stored answers")
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="webapi_answer_once")]
        indexes = [models.Index(fields=["created_at"], name="webapi_answer_age")]

    def __str__(self) -> str:
        return self.key
