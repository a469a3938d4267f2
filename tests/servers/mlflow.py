"""MLflow's own server, from the environment that `make mlflow` makes for it."""

from __future__ import annotations

import contextlib
import os
import signal
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.servers.process import (
    HOST,
    clean_environment,
    free_ports,
    owned_process,
    with_other_ports,
)

PROGRAM = "AQ_TEST_MLFLOW"
"""The variable that names the program."""


@contextlib.contextmanager
def mlflow_server(*store: str, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Address of a server, up until the end of the block.

    Args:
        store: Options that say where it keeps what it is given; a folder of its own without.
        environment: Added to its environment.
    """
    program = str(Path(os.environ[PROGRAM]).absolute())
    with owned_process("aq-mlflow-", signal.SIGTERM) as owned:
        own = [
            f"--backend-store-uri=sqlite:///{owned.folder}/server.db",
            f"--artifacts-destination={owned.folder}/artifacts",
        ]

        def attempt() -> str:
            (port,) = free_ports(1)
            url = f"http://{HOST}:{port}"
            listen = (f"--host={HOST}", f"--port={port}")

            def answers() -> bool:
                with (
                    contextlib.suppress(OSError),
                    urllib.request.urlopen(f"{url}/health", timeout=5) as answer,
                ):
                    return bool(answer.status == 200)
                return False

            owned.start(
                [program, "server", "--workers=1", *listen, *(store or own)],
                environment={
                    **clean_environment(owned.folder),
                    "MLFLOW_DISABLE_TELEMETRY": "true",
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                    **(environment or {}),
                },
                answers=answers,
            )
            return url

        yield with_other_ports(attempt)


def note_addresses(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """A file that gets the address of every connection that processes started from here make.

    Args:
        folder: Where it is to be.
        patch: Changes their environment: they also cannot see that they are tested, for then
            MLflow sends no usage data anyway.
    """
    path = folder / f"addresses-{uuid.uuid4().hex}.txt"
    path.touch()
    hook = folder / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import sys\n"
        "def note(event, arguments):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo'):\n"
        "        where = arguments[1] if event == 'socket.connect' else arguments[:2]\n"
        f"        with open({str(path)!r}, 'a') as file:\n"
        "            print(where, file=file)\n"
        "sys.addaudithook(note)\n"
    )
    paths = [str(hook), *filter(None, [os.environ.get("PYTHONPATH")])]
    patch.setenv("PYTHONPATH", os.pathsep.join(paths))
    for name in ("CI", "GITHUB_ACTIONS", "PYTEST_CURRENT_TEST"):
        patch.delenv(name, raising=False)
    return path
