"""Odd values in what a network answers while it is pulled: the pull ends, and says what it lost.

What the sandbox answers to a pull is recorded once; Hypothesis then spoils one of the answers, be
it of readings, a list or a login, and the client meets the same network with that one answer odd.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.network_client import Pull
from aq_resources.network_settings import NetworkConfig
from aq_resources.networks import create_client
from aq_resources.settings import Settings
from aq_sandbox.networks.airqo import COHORT
from aq_sandbox.server import RunningSandbox, SandboxConfig, running_sandbox
from aq_science.windows import Window
from tests.contract.conftest import NOW
from tests.contract.test_odd_answers import TOKENS, places, spoilt
from tests.laws import examples

DAY = Window.of_days(date(2025, 6, 10), date(2025, 6, 10))
ENTRIES: dict[str, dict[str, Any]] = {
    "airqino": {"stations": ["283164601", "283181971", "283249436"]},
    "airqo": {"stations": [f"cohort:{COHORT}"]},
    "irceline": {"area": {"latitude": 50.6, "longitude": 4.6, "radius_km": 200}},
    "openaq": {"stations": ["2178", "8118"]},
}
# Networks that are asked about each station by itself: one odd answer costs that one alone.
ONE_BY_ONE = {"airqino", "openaq"}
# So many requests for one of an undisturbed pull: its tries, and pages that do not end at once.
MOST_REQUESTS = 15

Question = tuple[str, str, bytes]


@dataclass
class Tape:
    """A network's answers to a pull; with `odd` one of them is another text."""

    answers: dict[Question, str] = field(default_factory=dict)
    odd: tuple[Question, str] | None = None
    sent: int = 0

    def record(self, request: httpx.Request) -> httpx.Response:
        """What the sandbox says, kept."""
        with httpx.HTTPTransport() as transport:
            response = ASK(transport, request)
            response.read()
        kept = self.answers[question(request)] = response.text
        return httpx.Response(200, text=kept)

    def replay(self, request: httpx.Request) -> httpx.Response:
        """What was kept, or the odd text, or that there is no such thing."""
        self.sent += 1
        asked = question(request)
        if self.odd is not None and asked == self.odd[0]:
            return httpx.Response(200, text=self.odd[1])
        kept = self.answers.get(asked)
        return httpx.Response(404) if kept is None else httpx.Response(200, text=kept)


ASK = httpx.HTTPTransport.handle_request


def question(request: httpx.Request) -> Question:
    return request.method, str(request.url), request.content


@pytest.fixture(scope="module")
def network_server() -> Iterator[RunningSandbox]:
    with running_sandbox(SandboxConfig(stations=5, now=NOW)) as server:
        yield server


def pulled(network: str) -> list[Pull]:
    """A pull by a client that knows nothing yet."""
    entry = NetworkConfig(name=network, start_date=date(2020, 1, 1), **ENTRIES[network])
    with tempfile.TemporaryDirectory() as home, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AQ_HOME", home)
        with closing(create_client(entry, Settings(), lambda: NOW)) as client:
            return list(client.pull(DAY))


def stored(pulls: list[Pull]) -> set[bytes]:
    """The answers as they would be stored."""
    return {msgspec.json.encode(pull.answer) for pull in pulls if pull.answer is not None}


@pytest.mark.parametrize("network", ENTRIES)
def test_one_odd_answer_ends_no_pull(
    network: str,
    network_server: RunningSandbox,
    clean_environment: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in network_server.environment.items():
        monkeypatch.setenv(name, value)
    # Its files are compressed tables: no JSON.
    monkeypatch.setenv("AQ_OPENAQ_ARCHIVE", "none")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    tape = Tape()
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", tape.record)
    undisturbed = pulled(network)
    assert undisturbed and not [pull.failure for pull in undisturbed if pull.failure]
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", tape.replay)
    assert stored(pulled(network)) == stored(undisturbed)
    of_readings = {pull.answer.url for pull in undisturbed if pull.answer is not None}
    bodies = {asked: json.loads(text) for asked, text in tape.answers.items()}

    @settings(max_examples=examples(60))
    @given(data=st.data(), token=st.sampled_from(TOKENS), twice=st.booleans())
    def law(data: st.DataObject, token: str, twice: bool) -> None:
        asked = data.draw(st.sampled_from(list(bodies)))
        body = bodies[asked]
        path = data.draw(st.sampled_from(list(places(body))))
        tape.odd, tape.sent = (asked, spoilt(body, path, token, twice=twice)), 0
        try:
            pulls = pulled(network)
        except (TransientFailure, PermanentFailure):
            # Of a list or a login: nothing can be asked without it.
            pulls = []
            assert asked[1].partition("?")[0] not in of_readings
        assert tape.sent <= MOST_REQUESTS * len(bodies)
        kept = stored(pulls)
        if network in ONE_BY_ONE and asked[1].partition("?")[0] in of_readings:
            # A sensor's number begins with that of its location.
            station = next(one for one in ENTRIES[network]["stations"] if one in asked[1])
            sound = {one for one in stored(undisturbed) if station.encode() not in one}
            assert sound and kept >= sound

    law()
