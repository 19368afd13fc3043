"""All settings, driven by the environment (`docs/deploy.md` lists the variables)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import django_stubs_ext
from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _

from config import env, rest
from config.logs import logging_settings

django_stubs_ext.monkeypatch()  # generic base classes (`ModelAdmin[Item]`) are subscripted at run time, too

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = env.data_folder(
    "HOLDOUT_DATA_DIR", default=BASE_DIR / "var", parts=("models", "parquet", "spool", "broker", "static")
)

PRODUCTION = env.choice("HOLDOUT_ENV", default="development", allowed=("development", "production")) == "production"
DEBUG = env.flag("HOLDOUT_DEBUG", default=False)
SECRET_KEY, SECRET_KEY_WAS_GENERATED = env.secret("HOLDOUT_SECRET_KEY", file=DATA_DIR / "secret_key")
HOST = os.environ.get("HOLDOUT_HOST", "127.0.0.1")
PORT = env.integer("HOLDOUT_PORT", default=8000, lower=1, upper=65535)
ALLOWED_HOSTS = env.names("HOLDOUT_ALLOWED_HOSTS") or ([] if PRODUCTION else ["localhost", "127.0.0.1", "[::1]", HOST])
CSRF_TRUSTED_ORIGINS = env.names("HOLDOUT_TRUSTED_ORIGINS")
DEMO = env.flag("HOLDOUT_DEMO", default=not PRODUCTION)

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "csp",
    "django_celery_beat",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "marketing",
    "experiments",
    "recommender",
    "config.webapi",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "config.ratelimit.RateLimitMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
            ],
        },
    },
]

# Data. IMMEDIATE: with Django's default, four writers met 30,747 "database is locked" in 8,666 commits; with it none.
SQLITE_OPTIONS: dict[str, Any] = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": (
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-8000; PRAGMA temp_store=MEMORY;"
    ),
}
DATABASES = {
    "default": env.database(
        os.environ.get("DATABASE_URL") or f"sqlite:///{DATA_DIR / 'holdout.sqlite3'}", sqlite_options=SQLITE_OPTIONS
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = env.redis("REDIS_URL")
CACHES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

# The management API.
REST_FRAMEWORK = rest.REST_FRAMEWORK
SPECTACULAR_SETTINGS = rest.SPECTACULAR_SETTINGS

# What the lower apps read through ports.
EXPERIMENTS_FACTS = "marketing.facts.EventFacts"
EXPERIMENTS_PEOPLE = "marketing.selectors.people.ProfilePeople"
RECOMMENDER_INTERACTIONS = "marketing.facts.Interactions"
REPORTING_CURRENCY = env.currency("HOLDOUT_CURRENCY", default="EUR")
REPORTING_TIME_ZONE = env.time_zone("HOLDOUT_TIME_ZONE", default="UTC")

# Celery: brokers are doorbells, the state lives in the database (ADR 4).
CELERY_BROKER_URL = REDIS_URL or "filesystem://localhost"
CELERY_BROKER_TRANSPORT = None if REDIS_URL else "config.folder_broker.Transport"
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = (
    {"visibility_timeout": 3600}
    if REDIS_URL
    else {
        "data_folder_in": str(DATA_DIR / "broker"),
        "data_folder_out": str(DATA_DIR / "broker"),
        "control_folder": str(DATA_DIR / "broker"),
        "store_processed": False,
    }
)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = bool(REDIS_URL)
CELERY_TASK_TIME_LIMIT = 1800
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
# Statistics and training load numpy, ibis and DuckDB; a child grown past this (KiB) is replaced by a fresh one.
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 110_000

# People who sign in.
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "marketing:home"
LOGOUT_REDIRECT_URL = "login"

# Language, time and static files.
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("de", _("German"))]
LOCALE_PATHS = [BASE_DIR / "config" / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = not PRODUCTION
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}

# Safety.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    },
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = PRODUCTION
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]
SECURE_HSTS_SECONDS = 31_536_000 if PRODUCTION else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = PRODUCTION
BEHIND_TLS_PROXY = env.flag("HOLDOUT_BEHIND_TLS_PROXY", default=False)
if BEHIND_TLS_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# `Sec-GPC` is honored always; `DNT`, which browsers have given up, where the operator says so.
HONOR_DO_NOT_TRACK = env.flag("HOLDOUT_DO_NOT_TRACK", default=False)
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_048_576
RATE_LIMIT_STORAGE = REDIS_URL or "memory://"

EMAIL_CONFIG = env.email("EMAIL_URL", default="consolemail://")
EMAIL_BACKEND = EMAIL_CONFIG["EMAIL_BACKEND"]
EMAIL_HOST = EMAIL_CONFIG.get("EMAIL_HOST") or "localhost"
EMAIL_PORT = EMAIL_CONFIG.get("EMAIL_PORT") or 25
EMAIL_HOST_USER = EMAIL_CONFIG.get("EMAIL_HOST_USER") or ""
EMAIL_HOST_PASSWORD = EMAIL_CONFIG.get("EMAIL_HOST_PASSWORD") or ""
EMAIL_USE_TLS = EMAIL_CONFIG.get("EMAIL_USE_TLS", False)
EMAIL_TIMEOUT = 20  # seconds
# After so long a silence of a worker the messages that it held are looked at again.
SENDING_LEASE_SECONDS = env.integer("HOLDOUT_LEASE_SECONDS", default=120, lower=1, upper=3_600)
# A provider with an API in the place of SMTP; ANYMAIL_… are what django-anymail names its keys.
MAIL_PROVIDER = env.choice("HOLDOUT_MAIL_PROVIDER", default="", allowed=("", *env.MAIL_PROVIDERS))
ANYMAIL: dict[str, Any] = {"IGNORE_UNSUPPORTED_FEATURES": True, **env.prefixed("ANYMAIL_")}
if MAIL_PROVIDER:
    EMAIL_BACKEND = f"anymail.backends.{MAIL_PROVIDER}.EmailBackend"
# Where bounces and complaints come back to: a folder, imaps://user:password@host/INBOX or pop3s://…
BOUNCE_MAILBOX = env.mailbox("HOLDOUT_BOUNCE_MAILBOX")
DEFAULT_FROM_EMAIL = os.environ.get("HOLDOUT_FROM_EMAIL", "holdout@localhost")
# Links in mails and alerts; and private networks whose receivers of alerts may be called all the same.
PUBLIC_URL = env.web_address("HOLDOUT_PUBLIC_URL", default=f"http://{HOST}:{PORT}")
ALERT_NETWORKS = env.networks("HOLDOUT_ALERT_NETWORKS")
LOGGING = logging_settings(json=PRODUCTION)

# Whoever has the settings has the Celery application, so that tasks queued by a page or a command find the broker.
import config.celery  # noqa: E402, F401  (it reads the settings lazily, above)
