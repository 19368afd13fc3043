"""Pages of the recommender."""

from __future__ import annotations

from django.urls import path

from recommender.views import designs, people, strategies

app_name = "recommender"

urlpatterns = [
    path("", strategies.strategy_list, name="strategy-list"),
    path("strategies/new/", designs.strategy_new, name="strategy-new"),
    path("strategies/preview/", designs.strategy_preview, name="strategy-preview"),
    path("strategies/compare/", designs.strategy_compare, name="strategy-compare"),
    path("strategies/<slug:slug>/", strategies.strategy_detail, name="strategy-detail"),
    path("strategies/<slug:slug>/edit/", designs.strategy_edit, name="strategy-edit"),
    path("strategies/<slug:slug>/train/", strategies.strategy_train, name="strategy-train"),
    path("strategies/<slug:slug>/roll-back/", strategies.strategy_roll_back, name="strategy-roll-back"),
    path("strategies/<slug:slug>/models/<int:model_id>/", strategies.model_detail, name="model-detail"),
    path("strategies/<slug:slug>/models/<int:model_id>/publish/", strategies.model_publish, name="model-publish"),
    path("people/<str:user_id>/", people.user_detail, name="user-detail"),
]
