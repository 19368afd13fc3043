"""Addresses below /api/v1/."""

from __future__ import annotations

from django.urls import path

from marketing.api import campaigns, profiles, segments, sources

app_name = "marketing-api"
urlpatterns = [
    path("segments/", segments.SegmentList.as_view(), name="segments"),
    path("segments/count/", segments.SegmentCount.as_view(), name="segment-count"),
    path("segments/lists/", segments.ListMake.as_view(), name="lists"),
    path("segments/<slug:slug>/", segments.SegmentDetail.as_view(), name="segment"),
    path("segments/<slug:slug>/members/", segments.MemberList.as_view(), name="members"),
    path("segments/<slug:slug>/refresh/", segments.SegmentRefresh.as_view(), name="segment-refresh"),
    path("segments/<slug:slug>/archive/", segments.SegmentArchive.as_view(), name="segment-archive"),
    path("segments/<slug:slug>/restore/", segments.SegmentRestore.as_view(), name="segment-restore"),
    path("segments/<slug:slug>/imports/", segments.MembersImports.as_view(), name="imports"),
    path("segments/<slug:slug>/export/", segments.MembersExport.as_view(), name="export"),
    path("profiles/", profiles.ProfileList.as_view(), name="profiles"),
    path("profiles/<name:public_id>/", profiles.ProfileDetail.as_view(), name="profile"),
    path("profiles/<name:public_id>/traits/", profiles.Traits.as_view(), name="traits"),
    path("profiles/<name:public_id>/events/", profiles.EventList.as_view(), name="events"),
    path("campaigns/", campaigns.CampaignList.as_view(), name="campaigns"),
    path("campaigns/<slug:slug>/", campaigns.CampaignDetail.as_view(), name="campaign"),
    path("campaigns/<slug:slug>/checklist/", campaigns.CampaignChecklist.as_view(), name="checklist"),
    path("campaigns/<slug:slug>/transitions/<slug:name>/", campaigns.CampaignTransition.as_view(), name="transition"),
    path("sources/", sources.SourceList.as_view(), name="sources"),
    path("sources/<slug:name>/keys/", sources.KeyList.as_view(), name="keys"),
    path("sources/<slug:name>/keys/<id:key_id>/revoke/", sources.KeyRevoke.as_view(), name="key-revoke"),
    path("sources/<slug:name>/keys/<id:key_id>/rotate/", sources.KeyRotate.as_view(), name="key-rotate"),
    path("changes/marketing/", campaigns.ChangeList.as_view(), name="changes"),
]
