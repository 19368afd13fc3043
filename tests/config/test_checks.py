from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django.fixtures import Settings

from config.checks import production_is_safe, refuse_unsafe_settings


@pytest.fixture
def production(settings: Settings) -> Settings:
    settings.PRODUCTION = True
    settings.DEBUG = settings.DEMO = settings.SECRET_KEY_WAS_GENERATED = False
    settings.SECRET_KEY = "k" * 60
    settings.ALLOWED_HOSTS = ["shop.example"]
    return settings


def test_production__safe_settings__pass(production: Settings) -> None:
    assert production_is_safe(None) == []
    refuse_unsafe_settings()


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("DEBUG", True, "E001"),
        ("SECRET_KEY_WAS_GENERATED", True, "E002"),
        ("SECRET_KEY", "short", "E003"),
        ("ALLOWED_HOSTS", [], "E004"),
        ("ALLOWED_HOSTS", ["*"], "E004"),
        ("DEMO", True, "E005"),
    ],
)
def test_production__one_unsafe_setting__refuses_to_start(
    production: Settings, name: str, value: object, number: str
) -> None:
    setattr(production, name, value)
    assert [error.id for error in production_is_safe(None)] == [f"holdout.{number}"]
    with pytest.raises(ImproperlyConfigured):
        refuse_unsafe_settings()


def test_development__unsafe_settings__are_allowed(settings: Settings) -> None:
    settings.PRODUCTION = False
    settings.DEMO = True
    assert production_is_safe(None) == []
