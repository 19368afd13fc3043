"""The URL map of the whole product."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from config import checks, signin
from config.health import healthz

__all__ = ["checks", "urlpatterns"]  # importing `checks` registers them

urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/login/", LoginView.as_view(), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("accounts/one-time/<str:uid>/<str:token>/", signin.one_time_sign_in, name="one-time-sign-in"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("healthz", healthz, name="healthz"),
    path("experiments/", include("experiments.urls")),
    path("recommender/", include("recommender.urls")),
    path("api/v1/", include("experiments.api.urls")),
    path("api/v1/", include("recommender.api.urls")),
    path("api/v1/", include("marketing.api.urls")),
    path("api/v1/", include("config.webapi.urls")),
    path("", include("marketing.urls")),
]
