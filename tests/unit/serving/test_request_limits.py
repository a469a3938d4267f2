"""Keys and limits: who is let in, how often, and what is kept of a key."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from typer.testing import CliRunner

from aq_platform.cli import app
from aq_resources.failures import SettingsError
from aq_resources.keys import hashed
from aq_serving import limits
from aq_serving.keys import ApiKey, ApiKeys, add_key, api_key_file, remove_key
from aq_serving.limits import BURST_SECONDS, Limits, SharedRates, shared_rates
from tests.unit.serving.conftest import Ask, asker


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("let in")(scope, receive, send)


def guarded(folder: Path, **settings: Any) -> tuple[Ask, ApiKeys]:
    """Limits before an application that answers everything."""
    keys = ApiKeys(folder / "api_keys")
    given_ = {"key_required": False, "key_rate": 0.0, "address_rate": 0.0, **settings}
    keys.refresh()
    limits: Any = Limits(inner, keys, SharedRates(), **given_)
    return asker(limits), keys


def made(folder: Path, name: str = "reader") -> str:
    """A new key."""
    with api_key_file(folder / "api_keys").updated() as known:
        return add_key(known, name)


class TestRates:
    @given(
        rate=st.floats(0.1, 1000.0),
        gaps=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=60),
    )
    def test_never_more_than_the_burst_and_the_rate(self, rate: float, gaps: list[float]) -> None:
        now = [1000.0]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(limits, "monotonic", lambda: now[0])
            rates, passed = SharedRates(), 0
            for gap in gaps:
                now[0] += gap
                passed += rates.wait(7, rate) == 0.0
        # As much as was saved up, one that has just begun, and what the time since has brought.
        assert passed <= math.floor((BURST_SECONDS + sum(gaps)) * rate) + 2

    def test_who_waits_as_told_is_let_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = [50.0]
        monkeypatch.setattr(limits, "monotonic", lambda: now[0])
        rates = SharedRates()
        while not (seconds := rates.wait(1, 2.0)):
            pass
        assert 0 < seconds <= 0.5
        now[0] += seconds
        assert rates.wait(1, 2.0) == 0.0
        assert rates.wait(1, 2.0) > 0.0
        assert rates.wait(2, 2.0) == 0.0

    def test_all_processes_count_in_one_table(self) -> None:
        with shared_rates():
            one, other = (SharedRates.of_server() for _ in range(2))
        assert one.slot("1.2.3.4") == other.slot("1.2.3.4")
        while not one.wait(3, 0.1):
            pass
        assert other.wait(3, 0.1) > 0
        # A process without such a file counts alone.
        assert SharedRates.of_server().wait(3, 0.1) == 0


class TestLetIn:
    def test_an_address_beyond_its_limit_is_told_when_to_come_back(self, tmp_path: Path) -> None:
        ask, _ = guarded(tmp_path, address_rate=0.2)
        answers = [ask("/v1/latest") for _ in range(4)]
        assert [one.status_code for one in answers] == [200, 200, 200, 429]
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 5
        assert answers[-1].headers["content-type"] == "application/problem+json"
        # Whoever watches the server is not counted.
        assert ask("/healthz").status_code == 200

    def test_a_key_has_a_limit_of_its_own(self, tmp_path: Path) -> None:
        key = made(tmp_path)
        ask, _ = guarded(tmp_path, address_rate=0.1, key_rate=0.3)
        assert [ask("/v1/latest").status_code for _ in range(3)] == [200, 200, 429]
        with_key = [ask("/v1/latest", x_api_key=key).status_code for _ in range(5)]
        assert with_key == [200, 200, 200, 200, 429]

    @pytest.mark.parametrize("header", ["x_api_key", "authorization"])
    def test_where_a_key_is_needed_no_other_is_let_in(self, tmp_path: Path, header: str) -> None:
        key = made(tmp_path)
        ask, keys = guarded(tmp_path, key_required=True)
        prefix = "Bearer " if header == "authorization" else ""
        for headers, status in (
            ({}, 401),
            ({header: prefix + key}, 200),
            ({header: prefix + key[:-1]}, 401),
            ({header: prefix + hashed(key)}, 401),
            ({header: prefix}, 401),
        ):
            assert ask("/v1/latest", **headers).status_code == status, headers
        with api_key_file(tmp_path / "api_keys").updated() as known:
            remove_key(known, "reader")
        keys.refresh()
        refused = ask("/v1/latest", **{header: prefix + key})
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"


class TestKeys:
    def test_the_command_makes_lists_and_takes_back(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AQ_HOME", str(tmp_path))
        run = CliRunner().invoke
        key = run(app, ["keys", "add", "press"]).stdout.strip()
        path = tmp_path / "api_keys"
        # Of the key nothing is kept but its hash, and that for the owner alone.
        assert key not in path.read_text("utf-8")
        assert api_key_file(path).read() == {"press": ApiKey(hashed(key))}
        assert path.stat().st_mode & 0o077 == 0
        assert run(app, ["keys", "list"]).stdout.split() == ["press"]
        keys = ApiKeys(path)
        keys.refresh()
        assert keys.name(key) == "press"
        assert run(app, ["keys", "add", "press"]).exit_code == 1
        assert run(app, ["keys", "remove", "press"]).exit_code == 0
        assert run(app, ["keys", "remove", "press"]).exit_code == 1
        keys.refresh()
        assert keys.name(key) is None

    @pytest.mark.parametrize("name", ["", "a b", "a\nb", "x" * 65])
    def test_what_is_no_name_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(SettingsError):
            made(tmp_path, name)

    def test_a_file_of_lines_is_read_and_becomes_json_by_the_next_change(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "api_keys"
        path.write_text(f"nonsense\nreader {hashed('aq_old')}\n", "utf-8")
        keys = ApiKeys(path)
        keys.refresh()
        assert keys.name("aq_old") == "reader"
        new = made(tmp_path, "press")
        keys.refresh()
        assert (keys.name("aq_old"), keys.name(new)) == ("reader", "press")
        assert set(msgspec.json.decode(path.read_bytes())) == {"reader", "press"}

    def test_a_damaged_file_costs_no_key(self, tmp_path: Path) -> None:
        key = made(tmp_path)
        keys = ApiKeys(tmp_path / "api_keys")
        keys.refresh()
        (tmp_path / "api_keys").write_text('{"reader":')
        keys.refresh()
        assert keys.name(key) == "reader"
        with pytest.raises(SettingsError, match="put a copy of it back"):
            made(tmp_path, "press")
        assert (tmp_path / "api_keys").read_text() == '{"reader":'
