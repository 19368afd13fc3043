"""The addresses of marketing: `DATA` is people, events and segments; `CAMPAIGNS` is campaigns and public pages."""

from __future__ import annotations

from django.urls import path

from marketing.views import (
    affinity,
    campaigns,
    demo,
    experience,
    fairness,
    home,
    lists,
    mail,
    person,
    previews,
    privacy,
    profiles,
    reviews,
    segments,
    senders,
    shop,
    tracking,
    traits,
)

app_name = "marketing"

DATA = [
    path("segments/", segments.segment_list, name="segment-list"),
    path("segments/new/", segments.segment_new, name="segment-new"),
    path("segments/affinity/", affinity.affinity_new, name="segment-affinity"),
    path("segments/list/", lists.list_new, name="segment-list-new"),
    path("segments/builder/", segments.segment_builder, name="segment-builder"),
    path("segments/count/", segments.segment_count, name="segment-count"),
    path("segments/<slug:slug>/", segments.segment_detail, name="segment-detail"),
    path("segments/<slug:slug>/edit/", segments.segment_edit, name="segment-edit"),
    path("segments/<slug:slug>/overlap/", segments.segment_overlap, name="segment-overlap"),
    path("segments/<slug:slug>/refresh/", segments.segment_refresh, name="segment-refresh"),
    path("segments/<slug:slug>/archive/", segments.segment_archive, name="segment-archive"),
    path("segments/<slug:slug>/restore/", lists.segment_restore, name="segment-restore"),
    path("segments/<slug:slug>/export/", lists.segment_export, name="segment-export"),
    path("segments/<slug:slug>/upload/", lists.segment_upload, name="segment-upload"),
    path("segments/<slug:slug>/imports/", lists.segment_imports, name="segment-imports"),
    path("segments/<slug:slug>/imports/<int:run_id>/", lists.segment_rejected, name="segment-rejected"),
    path("segments/<slug:slug>/why/<str:public_id>/", segments.segment_why, name="segment-why"),
    path("privacy/", privacy.overview, name="privacy"),
    path("privacy/fairness/", fairness.report, name="fairness"),
    path("profiles/", profiles.profile_list, name="profile-list"),
    path("profiles/traits/", traits.trait_list, name="trait-list"),
    path("profiles/traits/new/", traits.trait_new, name="trait-new"),
    path("profiles/<str:public_id>/", profiles.profile_detail, name="profile-detail"),
]

CAMPAIGNS = [
    path("", home.home, name="home"),
    path("campaigns/", campaigns.campaign_list, name="campaign-list"),
    path("campaigns/new/", campaigns.campaign_create, name="campaign-create"),
    path("campaigns/panel/", campaigns.campaign_panel, name="campaign-panel"),
    path("review-policy/", reviews.policy, name="review-policy"),
    path("senders/", senders.sender_list, name="sender-list"),
    path("senders/new/", senders.sender_edit, name="sender-add"),
    path("senders/<int:sender_id>/", senders.sender_edit, name="sender-edit"),
    path("senders/<int:sender_id>/check/", senders.sender_check, name="sender-check"),
    path("campaigns/<slug:slug>/", campaigns.campaign_detail, name="campaign-detail"),
    path("campaigns/<slug:slug>/edit/", campaigns.campaign_edit, name="campaign-edit"),
    path("campaigns/<slug:slug>/result/", campaigns.campaign_result, name="campaign-result"),
    path("campaigns/<slug:slug>/review/", reviews.campaign_review, name="campaign-review"),
    path("campaigns/<slug:slug>/changes/<int:change_id>/", reviews.campaign_change, name="campaign-change"),
    path("campaigns/<slug:slug>/preview/<slug:arm_key>/", previews.campaign_preview, name="campaign-preview"),
    path(
        "campaigns/<slug:slug>/preview/<slug:arm_key>/message/",
        previews.campaign_preview_frame,
        name="campaign-preview-frame",
    ),
    path("campaigns/<slug:slug>/preview/<slug:arm_key>/test/", previews.campaign_test_send, name="campaign-test-send"),
    path("campaigns/<slug:slug>/uncertain/", campaigns.campaign_resolve, name="campaign-resolve"),
    path("campaigns/<slug:slug>/do/<slug:name>/", campaigns.campaign_transition, name="campaign-transition"),
    path("c/<slug:slug>/", experience.page, name="page"),
    path("c/<slug:slug>/slot/", experience.slot, name="page-slot"),
    path("r/<str:token>/", tracking.follow, name="follow"),
    path("m/<str:token>/", mail.follow, name="mail-follow"),
    path("unsubscribe/<str:token>/", mail.leave, name="unsubscribe"),
    path("me/", person.start, name="me-start"),
    path("me/link/", person.link, name="me-link"),
    path("me/erased/", person.erased, name="me-erased"),
    path("me/confirm/<str:token>/", person.confirm, name="me-confirm"),
    path("me/<str:token>/", person.preferences, name="me"),
    path("me/<str:token>/history/", person.history, name="me-history"),
    path("me/<str:token>/data/", person.data, name="me-data"),
    path("me/<str:token>/data/<slug:name>.zip", person.download, name="me-download"),
    path("me/<str:token>/erase/", person.erase, name="me-erase"),
    path("hooks/mail/<slug:provider>/", mail.provider_events, name="provider-events"),
    path("shop/", shop.shop, name="shop"),
    path("shop/-/be/", shop.be, name="shop-be"),
    path("shop/-/consent/", shop.consent, name="consent"),
    path("shop/-/buy/<path:item_id>/", shop.buy, name="shop-buy"),
    path("shop/<path:item_id>/", shop.item, name="shop-item"),
]

DEMO = [
    path("demo/progress/", demo.demo_progress, name="demo-progress"),
    path("demo/remove/", demo.demo_remove, name="demo-remove"),
]

urlpatterns = [*DEMO, *DATA, *CAMPAIGNS]
