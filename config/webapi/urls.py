"""What the management API has of its own; the last row catches what no app answers."""

from __future__ import annotations

from django.urls import path, re_path

from config.webapi import views

app_name = "webapi"
urlpatterns = [
    path("schema/", views.schema, name="schema"),
    path("docs/", views.documentation, name="docs"),
    re_path(r"", views.Nothing.as_view(), name="nothing"),
]
