"""AirQino's login: the password once, the refresh token after that, and nothing of it on show."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from aq_resources.failures import PermanentFailure, SettingsError, TransientFailure
from aq_resources.networks.airqino.login import TOKEN_MARGIN_SECONDS, KeycloakPassword
from aq_sandbox.server import RunningSandbox
from aq_science.windows import Window
from tests.contract.conftest import NOW, STATIONS, MakeBench, time_limit

JUNE_10 = Window.of_days(date(2025, 6, 10), date(2025, 6, 10))
TOKEN_PATH = "/realms/airqino/protocol/openid-connect/token"
PASSWORD = "not-the-demo-password"
# As the sandbox grants them.
TOKEN_SECONDS, REFRESH_SECONDS = 300, 1800


def paths(sandbox: RunningSandbox) -> list[str]:
    return [request.path.rsplit("/", 1)[-1] for request in sandbox.requests()]


class Session:
    """An HTTP client that logs in, with a clock that moves the sandbox's along."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self.sandbox = sandbox
        self.seconds = 0.0
        self.sent: list[httpx.Request] = []
        settings = sandbox.environment
        form = {
            name: settings[f"AQ_AIRQINO_{name.upper()}"]
            for name in ("username", "password", "client_id", "client_secret")
        }
        self.auth = KeycloakPassword(
            settings["AQ_AIRQINO_TOKEN_URL"], form, now=lambda: self.seconds
        )
        self.http = httpx.Client(
            auth=self.auth, trust_env=False, event_hooks={"request": [self.sent.append]}
        )

    def after(self, seconds: float, *, upstream: float | None = None) -> None:
        """Let time pass; upstream's clock may have another opinion."""
        self.seconds += seconds
        passed = timedelta(seconds=self.seconds if upstream is None else upstream)
        self.sandbox.set_clock(NOW + passed)

    def get(self) -> int:
        params = {"start_date": "20250610-0000", "end_date": "20250610-0100"}
        url = f"{self.sandbox.url}/v3/getStationHourlyAvg/{STATIONS[0]}"
        return self.http.get(url, params=params).status_code

    def grants(self) -> list[str]:
        return [form["grant_type"] for form in self.forms()]

    def forms(self) -> list[dict[str, str]]:
        return [
            dict(httpx.QueryParams(request.content.decode()))
            for request in self.sent
            if request.method == "POST"
        ]


@pytest.fixture
def session(guarded: RunningSandbox) -> Iterator[Session]:
    session = Session(guarded)
    with session.http:
        yield session


def test_the_password_grant_opens_the_data(guarded: RunningSandbox, bench: MakeBench) -> None:
    made = bench(guarded)
    pull = made.pull(JUNE_10)[STATIONS[0]]
    assert pull.failure is None
    assert pull.answer is not None
    assert made.grants() == [
        {
            "grant_type": "password",
            "scope": "openid",
            "username": "demo-user",
            "password": "demo-password",
            "client_id": "demo-client",
            "client_secret": "demo-secret",
        }
    ]
    kept = f"{pull.answer.url} {pull.answer.params} {pull.answer.body}"
    token = made.sent[-1].headers["Authorization"].removeprefix("Bearer ")
    assert len(token) > 20
    for secret in ("demo-password", "demo-secret", token):
        assert secret not in kept


def test_anonymous_against_a_closed_network_says_what_to_set(
    guarded: RunningSandbox, bench: MakeBench
) -> None:
    made = bench(guarded, AQ_AIRQINO_USERNAME="")
    failure = made.pull(JUNE_10)[STATIONS[0]].failure
    assert isinstance(failure, PermanentFailure)
    for name in ("USERNAME", "PASSWORD", "CLIENT_ID", "CLIENT_SECRET"):
        assert f"AQ_AIRQINO_{name}" in failure.message
    assert "info@airqino.it" in failure.message
    assert made.grants() == []


@pytest.mark.parametrize("wrong", ["USERNAME", "PASSWORD", "CLIENT_ID", "CLIENT_SECRET"])
def test_wrong_credentials_are_named_by_their_variables_only(
    guarded: RunningSandbox, bench: MakeBench, wrong: str
) -> None:
    made = bench(guarded, STATIONS, **{f"AQ_AIRQINO_{wrong}": PASSWORD})
    pulls = made.pull(JUNE_10)
    for pull in pulls.values():
        assert pull.answer is None
        assert isinstance(pull.failure, PermanentFailure)
        assert not pull.failure.allow_retries
        text = f"{pull.failure.message} {pull.failure!r} {pull.failure.__cause__!r}"
        assert "AirQino refuses the login (401)" in text
        for name in ("USERNAME", "PASSWORD", "CLIENT_ID", "CLIENT_SECRET"):
            assert f"AQ_AIRQINO_{name}" in text
        for secret in (PASSWORD, "demo-password", "demo-secret"):
            assert secret not in text
    assert made.waits == []


def test_half_the_credentials_are_refused_by_name(
    guarded: RunningSandbox, bench: MakeBench
) -> None:
    with pytest.raises(SettingsError) as caught:
        bench(guarded, AQ_AIRQINO_PASSWORD="", AQ_AIRQINO_CLIENT_ID="")
    assert "AQ_AIRQINO_PASSWORD, AQ_AIRQINO_CLIENT_ID must be set" in str(caught.value)
    assert "demo" not in str(caught.value)


def test_stations_and_threads_share_one_login(guarded: RunningSandbox, bench: MakeBench) -> None:
    made = bench(guarded, STATIONS, AQ_HTTP_CONCURRENCY="4")
    for _ in range(3):
        assert all(pull.failure is None for pull in made.pull(JUNE_10).values())
    assert paths(guarded).count("token") == 1


def test_a_token_serves_until_shortly_before_its_end(session: Session) -> None:
    assert session.get() == 200
    session.after(TOKEN_SECONDS - TOKEN_MARGIN_SECONDS - 1)
    assert session.get() == 200
    assert session.grants() == ["password"]


def test_a_token_is_renewed_before_it_ends_with_the_refresh_token(session: Session) -> None:
    session.get()
    first = session.sent[-1].headers["Authorization"]
    session.after(TOKEN_SECONDS - TOKEN_MARGIN_SECONDS)
    assert session.get() == 200
    assert session.grants() == ["password", "refresh_token"]
    assert session.forms()[1].keys() == {
        "grant_type",
        "refresh_token",
        "client_id",
        "client_secret",
    }
    assert session.sent[-1].headers["Authorization"] != first
    # Nobody was turned away on the way.
    assert paths(session.sandbox) == ["token", STATIONS[0], "token", STATIONS[0]]


def test_the_password_is_used_again_once_the_refresh_token_has_ended(session: Session) -> None:
    session.get()
    session.after(REFRESH_SECONDS)
    assert session.get() == 200
    assert session.grants() == ["password", "password"]


def test_a_refused_refresh_token_falls_back_to_the_password(session: Session) -> None:
    session.get()
    # Upstream ended the session early.
    session.after(TOKEN_SECONDS, upstream=REFRESH_SECONDS + 1)
    assert session.get() == 200
    assert session.grants() == ["password", "refresh_token", "password"]


def test_a_401_in_spite_of_a_token_logs_in_once_more(session: Session) -> None:
    session.get()
    session.after(10, upstream=TOKEN_SECONDS + 1)
    assert session.get() == 200
    assert session.grants() == ["password", "password"]
    assert paths(session.sandbox) == ["token", STATIONS[0], STATIONS[0], "token", STATIONS[0]]


def test_a_lasting_401_is_tried_once_more_and_then_explained(
    guarded: RunningSandbox, bench: MakeBench
) -> None:
    guarded.inject("status", status=401, path_contains="getStationHourlyAvg")
    made = bench(guarded)
    pull = made.pull(JUNE_10)[STATIONS[0]]
    assert isinstance(pull.failure, PermanentFailure)
    assert "Check AQ_AIRQINO_USERNAME" in pull.failure.message
    assert paths(guarded) == ["token", STATIONS[0], "token", STATIONS[0]]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 429},
        {"kind": "disconnect"},
        {"kind": "timeout", "delay": 4},
        {"kind": "html"},
        {"kind": "empty"},
        {"kind": "body", "body": "[]"},
        {"kind": "body", "body": '{"access_token": "x", "expires_in": "soon"}'},
    ],
    ids=lambda fault: fault.get("body") or str(fault.get("status", fault["kind"])),
)
def test_a_login_that_fails_in_passing_is_tried_again(
    guarded: RunningSandbox, bench: MakeBench, fault: dict[str, Any]
) -> None:
    guarded.inject(**fault, path_contains="token", times=1)
    made = bench(guarded, STATIONS, AQ_HTTP_TIMEOUT_SECONDS=time_limit(fault["kind"]))
    pulls = made.pull(JUNE_10)
    assert [pull.failure for pull in pulls.values()] == [None] * len(STATIONS)
    assert made.waits


def test_a_login_that_stays_away_is_a_passing_failure(
    guarded: RunningSandbox, bench: MakeBench
) -> None:
    guarded.inject("status", status=503, path_contains="token")
    made = bench(guarded, AQ_HTTP_ATTEMPTS="2")
    failure = made.pull(JUNE_10)[STATIONS[0]].failure
    assert isinstance(failure, TransientFailure)
    assert "AirQino's login answered 503" in failure.message
    assert paths(guarded) == ["token", "token"]


def test_many_threads_renew_an_ended_token_once(session: Session) -> None:
    session.get()
    session.after(TOKEN_SECONDS, upstream=TOKEN_SECONDS)
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(session.get())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [200] * 8
    assert session.grants() == ["password", "refresh_token"]
