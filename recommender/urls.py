"""Pages of the recommender."""

from __future__ import annotations

from django.urls import path

from recommender import views

app_name = "recommender"

urlpatterns = [
    path("", views.strategy_list, name="strategy-list"),
    path("strategies/<slug:slug>/", views.strategy_detail, name="strategy-detail"),
    path("strategies/<slug:slug>/train/", views.strategy_train, name="strategy-train"),
    path("strategies/<slug:slug>/roll-back/", views.strategy_roll_back, name="strategy-roll-back"),
    path("strategies/<slug:slug>/models/<int:model_id>/publish/", views.model_publish, name="model-publish"),
    path("people/<str:user_id>/", views.user_detail, name="user-detail"),
]
