"""`aq serve` and its settings."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import uvicorn
from typer.testing import CliRunner

from aq_platform.cli import app
from aq_resources.failures import SettingsError
from aq_serving.settings import ApiSettings


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What uvicorn is asked for."""
    asked: dict[str, Any] = {}
    monkeypatch.setattr(uvicorn, "run", lambda target, **options: asked.update(options, app=target))
    return asked


def test_settings_are_served_as_they_are(
    served: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AQ_API_PORT", "8123")
    monkeypatch.setenv("AQ_API_WORKERS", "3")
    assert CliRunner().invoke(app, ["serve"]).exit_code == 0
    assert (served["host"], served["port"], served["workers"]) == ("127.0.0.1", 8123, 3)


def test_options_count_before_settings(
    served: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AQ_API_PORT", "8123")
    command = ["serve", "--host", "0.0.0.0", "--port", "9000", "--workers", "2"]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert (served["host"], served["port"], served["workers"]) == ("0.0.0.0", 9000, 2)


def test_origins_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AQ_API_CORS_ORIGINS", "https://a.example/, http://localhost:5173")
    assert ApiSettings().cors_origins == ("https://a.example", "http://localhost:5173")
    monkeypatch.setenv("AQ_API_CORS_ORIGINS", "*")
    assert ApiSettings().cors_origins == ("*",)


@pytest.mark.parametrize("origin", ["a.example", "https://a.example/path", "javascript:x"])
def test_what_is_no_origin_is_named(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AQ_API_CORS_ORIGINS", origin)
    with pytest.raises(SettingsError, match="AQ_API_CORS_ORIGINS"):
        ApiSettings()


@pytest.mark.parametrize(
    "address",
    [
        "https://tiles.example/{z}/{x}.png",
        "tiles.example/{z}/{x}/{y}.png",
        "https://tiles.example; script-src */{z}/{x}/{y}.png",
        "https://tiles.example/{z}/{x}/{y}.png' *",
    ],
)
def test_what_is_no_address_of_tiles_is_named(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AQ_API_TILES_ATTRIBUTION", "Makers")
    monkeypatch.setenv("AQ_API_TILES_URL", address)
    with pytest.raises(SettingsError, match="AQ_API_TILES_URL"):
        ApiSettings()


def test_tiles_need_their_makers_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AQ_API_TILES_URL", "https://tiles.example:8443/v1/{z}/{x}/{y}@2x.png?k=a")
    with pytest.raises(SettingsError, match="AQ_API_TILES_ATTRIBUTION"):
        ApiSettings()
    monkeypatch.setenv("AQ_API_TILES_ATTRIBUTION", "Makers")
    assert ApiSettings().tiles_origin == "https://tiles.example:8443"


@pytest.mark.server
def test_no_other_command_imports_fastapi() -> None:
    code = (
        "import sys, aq_platform.cli; sys.exit(bool({'fastapi', 'aq_serving'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
