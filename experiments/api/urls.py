"""Addresses below /api/v1/."""

from __future__ import annotations

from django.urls import path

from experiments.api import designs, explain, library, results, transitions

app_name = "experiments-api"
urlpatterns = [
    path("experiments/", designs.ExperimentList.as_view(), name="experiments"),
    path("experiments/<slug:key>/", designs.ExperimentDetail.as_view(), name="experiment"),
    path("experiments/<slug:key>/checklist/", designs.Checklist.as_view(), name="checklist"),
    path("experiments/<slug:key>/transitions/<slug:name>/", transitions.Transition.as_view(), name="transition"),
    path("experiments/<slug:key>/phases/", transitions.Phases.as_view(), name="phases"),
    path("experiments/<slug:key>/decide/", transitions.Decide.as_view(), name="decide"),
    path("experiments/<slug:key>/revert/", transitions.Revert.as_view(), name="revert"),
    path("experiments/<slug:key>/refresh/", transitions.Refresh.as_view(), name="refresh"),
    path("experiments/<slug:key>/results/", results.Results.as_view(), name="results"),
    path("experiments/<slug:key>/tables/<slug:table>/", results.ResultTable.as_view(), name="table"),
    path("experiments/<slug:key>/snapshots/", results.SnapshotList.as_view(), name="snapshots"),
    path("experiments/<slug:key>/snapshots/<id:snapshot_id>/", results.SnapshotDetail.as_view(), name="snapshot"),
    path("metrics/", library.MetricList.as_view(), name="metrics"),
    path("metrics/<slug:key>/", library.MetricDetail.as_view(), name="metric"),
    path("metrics/<slug:key>/publish/", library.MetricPublish.as_view(), name="metric-publish"),
    path("holdouts/", library.HoldoutList.as_view(), name="holdouts"),
    path("explain/", explain.Explain.as_view(), name="explain"),
    path("changes/experiments/", library.ChangeList.as_view(), name="changes"),
]
