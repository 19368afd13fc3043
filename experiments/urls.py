"""Pages of experiments, mounted under /experiments/."""

from __future__ import annotations

from django.urls import path

from experiments.views import alerts, certificate, design, explain, fleet, manage, metrics, results, traffic

app_name = "experiments"
urlpatterns = [
    path("", manage.experiment_list, name="experiment-list"),
    path("new/", design.experiment_create, name="experiment-create"),
    path("explain/", explain.experiment_explain, name="experiment-explain"),
    path("-/health/", fleet.fleet_health, name="fleet-health"),
    path("-/holdout/", fleet.holdout_ledger, name="holdout-ledger"),
    path("-/metrics/", metrics.metric_list, name="metric-list"),
    path("-/metrics/new/", metrics.metric_create, name="metric-create"),
    path("-/metrics/<slug:key>/", metrics.metric_detail, name="metric-detail"),
    path("-/metrics/<slug:key>/edit/", metrics.metric_edit, name="metric-edit"),
    path("-/metrics/<slug:key>/try/", metrics.metric_survey, name="metric-survey"),
    path("-/metrics/<slug:key>/publish/", metrics.metric_publish, name="metric-publish"),
    path("-/metrics/<slug:key>/discard/", metrics.metric_discard, name="metric-discard"),
    path("-/alerts/", alerts.alert_list, name="alert-list"),
    path("-/alerts/recipients/", alerts.recipient_add, name="recipient-add"),
    path("-/alerts/recipients/<int:recipient_id>/remove/", alerts.recipient_remove, name="recipient-remove"),
    path("-/digest/", alerts.digest_invite, name="digest-invite"),
    path("-/digest/confirm/<str:token>/", alerts.digest_confirm, name="digest-confirm"),
    path("-/digest/unsubscribe/<str:token>/", alerts.digest_unsubscribe, name="digest-unsubscribe"),
    path("-/force/<str:token>/", traffic.force_arm, name="force-arm"),
    path("<slug:key>/", results.experiment_detail, name="experiment-detail"),
    path("<slug:key>/report.json", results.experiment_report, name="experiment-report"),
    path("<slug:key>/<slug:table>.<slug:extension>", results.experiment_table, name="experiment-table"),
    path("<slug:key>/refresh/", results.experiment_refresh, name="experiment-refresh"),
    path("<slug:key>/edit/", design.experiment_edit, name="experiment-edit"),
    path("<slug:key>/certificate/", certificate.experiment_certificate, name="experiment-certificate"),
    path("<slug:key>/traffic/", traffic.experiment_traffic, name="experiment-traffic"),
    path("<slug:key>/decide/", manage.experiment_decide, name="experiment-decide"),
    path("<slug:key>/revert/", manage.experiment_revert, name="experiment-revert"),
    path("<slug:key>/<slug:transition>/", manage.experiment_transition, name="experiment-transition"),
]
