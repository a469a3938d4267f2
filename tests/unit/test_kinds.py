"""Every test has the one marker that says what it needs, and a pure one is held to it."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from hypothesis import settings

from tests.kinds import KINDS, alone_in_its_process, kinds_of


def test_every_test_has_exactly_one(request: pytest.FixtureRequest) -> None:
    kinds = {item.nodeid: kinds_of(item) for item in request.session.items}
    assert {name: found for name, found in kinds.items() if len(found) != 1} == {}
    assert kinds[request.node.nodeid] == ["pure"]


def test_what_a_test_needs_is_in_the_settings(pytestconfig: pytest.Config) -> None:
    markers = [line.partition(":")[0] for line in pytestconfig.getini("markers")]
    assert set(KINDS) <= set(markers)


def test_properties_have_as_many_examples_as_was_asked_for(pytestconfig: pytest.Config) -> None:
    asked = pytestconfig.getoption("--hypothesis-profile") or "project"
    assert settings.get_current_profile_name() == asked


@pytest.mark.server
def test_a_pure_test_starts_no_process() -> None:
    command = [sys.executable, "-c", ""]
    with pytest.raises(pytest.fail.Exception, match=r"subprocess\.Popen"), alone_in_its_process():
        subprocess.run(command, check=True)
    subprocess.run(command, check=True)


@pytest.mark.server
def test_a_pure_test_connects_to_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as caller:
        with pytest.raises(pytest.fail.Exception, match="connect"), alone_in_its_process():
            caller.connect(server.getsockname())
        caller.connect(server.getsockname())
