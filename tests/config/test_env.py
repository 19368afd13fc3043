from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env


@pytest.mark.parametrize(("raw", "expected"), [("1", True), ("yes", True), ("0", False), ("", False), ("OFF", False)])
def test_flag__known_words__are_read(monkeypatch: pytest.MonkeyPatch, raw: str, expected: bool) -> None:
    monkeypatch.setenv("HOLDOUT_DEMO", raw)
    assert env.flag("HOLDOUT_DEMO", default=not expected) is expected


def test_flag__nonsense__names_the_variable_and_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDOUT_DEMO", "maybe")
    with pytest.raises(ImproperlyConfigured, match="HOLDOUT_DEMO='maybe'"):
        env.flag("HOLDOUT_DEMO", default=True)


@pytest.mark.parametrize("raw", ["eighty", "0", "65536"])
def test_integer__not_a_port__is_refused(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("HOLDOUT_PORT", raw)
    with pytest.raises(ImproperlyConfigured, match="HOLDOUT_PORT"):
        env.integer("HOLDOUT_PORT", default=8000, lower=1, upper=65535)


def test_choice__unknown_value__lists_the_allowed_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDOUT_ENV", "prod")
    with pytest.raises(ImproperlyConfigured, match="development, production"):
        env.choice("HOLDOUT_ENV", default="development", allowed=("development", "production"))


def test_secret__first_run__writes_a_private_file_and_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDOUT_SECRET_KEY", raising=False)
    file = tmp_path / "secret_key"
    first, was_generated = env.secret("HOLDOUT_SECRET_KEY", file=file)
    assert was_generated
    assert len(first) >= 50
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert env.secret("HOLDOUT_SECRET_KEY", file=file) == (first, True)


def test_secret__given__is_used_and_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDOUT_SECRET_KEY", "given")
    assert env.secret("HOLDOUT_SECRET_KEY", file=tmp_path / "secret_key") == ("given", False)
    assert not (tmp_path / "secret_key").exists()


def test_secret__empty_file__is_refused_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOLDOUT_SECRET_KEY", raising=False)
    (tmp_path / "secret_key").touch()
    with pytest.raises(ImproperlyConfigured, match="delete it"):
        env.secret("HOLDOUT_SECRET_KEY", file=tmp_path / "secret_key")


def test_database__sqlite__gets_immediate_transactions() -> None:
    options = {"transaction_mode": "IMMEDIATE"}
    assert env.database("sqlite:////tmp/x.sqlite3", sqlite_options=options)["OPTIONS"] == options


def test_database__postgresql__keeps_connections() -> None:
    assert env.database("postgres://root@127.0.0.1/x", sqlite_options={})["CONN_MAX_AGE"] == 60


def test_database__another_engine__is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="SQLite and PostgreSQL"):
        env.database("mysql://root@127.0.0.1/x", sqlite_options={})


def test_database__no_url__is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="no known kind"):
        env.database("nonsense", sqlite_options={})


def test_currency__three_capital_letters__is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDOUT_CURRENCY", "CHF")
    assert env.currency("HOLDOUT_CURRENCY", default="EUR") == "CHF"


@pytest.mark.parametrize("raw", ["", "euros", "eur", "E R", "ÄÖÜ"])
def test_currency__anything_else__is_refused(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("HOLDOUT_CURRENCY", raw)
    with pytest.raises(ImproperlyConfigured, match="HOLDOUT_CURRENCY"):
        env.currency("HOLDOUT_CURRENCY", default="EUR")


def test_time_zone__known__is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDOUT_TIME_ZONE", "Europe/Berlin")
    assert env.time_zone("HOLDOUT_TIME_ZONE", default="UTC") == "Europe/Berlin"


@pytest.mark.parametrize("raw", ["Mars/Base", "", "../etc/passwd", "Europe"])
def test_time_zone__unknown__is_refused(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("HOLDOUT_TIME_ZONE", raw)
    with pytest.raises(ImproperlyConfigured, match="HOLDOUT_TIME_ZONE"):
        env.time_zone("HOLDOUT_TIME_ZONE", default="UTC")


def test_data_folder__missing__is_made_private_with_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDOUT_DATA_DIR", str(tmp_path / "a"))
    folder = env.data_folder("HOLDOUT_DATA_DIR", default=tmp_path / "b", parts=("spool",))
    assert folder == tmp_path / "a"
    assert stat.S_IMODE((folder / "spool").stat().st_mode) == 0o700


def test_data_folder__cannot_be_made__names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOLDOUT_DATA_DIR", str(tmp_path / "file" / "below"))
    with pytest.raises(ImproperlyConfigured, match="HOLDOUT_DATA_DIR"):
        env.data_folder("HOLDOUT_DATA_DIR", default=tmp_path, parts=())


def test_redis__no_address__names_the_variable_and_hides_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "http://me:hidden@host/0")
    with pytest.raises(ImproperlyConfigured, match=r"REDIS_URL='http://…@host/0'"):
        env.redis("REDIS_URL")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:6379/0")
    assert env.redis("REDIS_URL") == "redis://127.0.0.1:6379/0"


@pytest.mark.parametrize("url", ["http://host", "smtp://me:hidden@host:port"])
def test_email__no_mail_server__names_the_variable_and_hides_the_password(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMAIL_URL", url)
    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL=") as refusal:
        env.email("EMAIL_URL", default="consolemail://")
    assert "hidden" not in str(refusal.value)


def test_database__port_is_no_number__names_the_variable() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"DATABASE_URL='postgres://…@host:abc/x'"):
        env.database("postgres://me:hidden@host:abc/x", sqlite_options={})


@pytest.mark.parametrize(
    ("command", "setting", "said"),
    [
        (["migrate"], {"EMAIL_URL": "http://host"}, "EMAIL_URL='http://host' is no address of a mail server"),
        (["refresh_segments"], {}, "Run manage.py migrate, then manage.py prepare."),
    ],
)
def test_manage__installation_is_not_fit__says_so_without_a_traceback(
    command: list[str], setting: dict[str, str], said: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", *command, "--settings", "config.settings"],
        env={**os.environ, "DATABASE_URL": "", "HOLDOUT_DATA_DIR": str(tmp_path), **setting},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("raw", ["holdout.example.com", "ftp://x.example", "https://x.example/?a=1", "https://"])
def test_web_address__nonsense__is_refused(monkeypatch: pytest.MonkeyPatch, raw: str) -> None:
    monkeypatch.setenv("HOLDOUT_PUBLIC_URL", raw)
    with pytest.raises(ImproperlyConfigured, match="HOLDOUT_PUBLIC_URL"):
        env.web_address("HOLDOUT_PUBLIC_URL", default="http://127.0.0.1:8000")


def test_web_address__slash_at_the_end__is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDOUT_PUBLIC_URL", "https://x.example/a/")
    assert env.web_address("HOLDOUT_PUBLIC_URL", default="") == "https://x.example/a"


def test_networks__names_them_and_refuses_nonsense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDOUT_ALERT_NETWORKS", "10.1.0.0/16, fd00::/8")
    assert [str(network) for network in env.networks("HOLDOUT_ALERT_NETWORKS")] == ["10.1.0.0/16", "fd00::/8"]
    monkeypatch.setenv("HOLDOUT_ALERT_NETWORKS", "10.1.0.0/99")
    with pytest.raises(ImproperlyConfigured, match=r"10\.1\.0\.0/99"):
        env.networks("HOLDOUT_ALERT_NETWORKS")
