"""Addresses below /api/v1/."""

from __future__ import annotations

from django.urls import path

from recommender.api import endpoints, recommendations

app_name = "recommender-api"
urlpatterns = [
    path("items/", endpoints.ItemList.as_view(), name="items"),
    path("items/<name:item_id>/", endpoints.ItemDetail.as_view(), name="item"),
    path("strategies/", endpoints.StrategyList.as_view(), name="strategies"),
    path("strategies/<slug:slug>/", endpoints.StrategyDetail.as_view(), name="strategy"),
    path("strategies/<slug:slug>/train/", endpoints.Train.as_view(), name="train"),
    path("strategies/<slug:slug>/roll-back/", endpoints.RollBack.as_view(), name="roll-back"),
    path("strategies/<slug:slug>/models/", endpoints.ModelList.as_view(), name="models"),
    path("strategies/<slug:slug>/models/<id:model_id>/publish/", endpoints.Publish.as_view(), name="publish"),
    path("recommendations/", recommendations.Recommendations.as_view(), name="recommendations"),
    path("changes/recommender/", endpoints.ChangeList.as_view(), name="changes"),
]
