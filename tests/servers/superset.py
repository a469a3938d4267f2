"""A stock Superset, from the environment that `make superset` makes for it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import ROOT
from tests.servers.process import (
    HOST,
    clean_environment,
    free_ports,
    owned_process,
    with_other_ports,
)

PROGRAM = "AQ_TEST_SUPERSET"
"""The variable that names the program."""

# Each of its commands imports all of Superset.
_PATIENCE_S = 600.0


@dataclass(frozen=True)
class SupersetServer:
    """A running one, and the password of its administrator, `admin`."""

    url: str
    password: str
    extensions: Path

    @contextlib.contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """Logged in as scripts do it."""
        with httpx.Client(base_url=self.url, timeout=_PATIENCE_S) as client:
            login = {"username": "admin", "password": self.password, "provider": "db"}
            token = client.post("/api/v1/security/login", json=login).raise_for_status()
            client.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
            forgery = client.get("/api/v1/security/csrf_token/").raise_for_status()
            client.headers["X-CSRFToken"] = forgery.json()["result"]
            client.headers["Referer"] = self.url
            yield client


@contextlib.contextmanager
def superset_server() -> Iterator[SupersetServer]:
    """With records of its own in SQLite, up until the end of the block."""
    program = Path(os.environ[PROGRAM]).absolute()
    password = secrets.token_urlsafe()
    with owned_process("aq-superset-", signal.SIGTERM) as owned:
        environment = {
            **clean_environment(owned.folder),
            "FLASK_APP": "superset",
            "SUPERSET_HOME": str(owned.folder),
            "SUPERSET_CONFIG_PATH": str(ROOT / "deploy" / "superset" / "superset_config.py"),
            "SUPERSET_SECRET_KEY": secrets.token_urlsafe(42),
            "SUPERSET_DATABASE_URI": f"sqlite:///{owned.folder}/superset.db",
        }

        def run(*command: Any) -> None:
            done = subprocess.run(
                [*map(str, command)],
                check=False,
                env=environment,
                cwd=owned.folder,
                capture_output=True,
                text=True,
                timeout=_PATIENCE_S,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"

        extensions = owned.folder / "extensions"
        layout = ROOT / "deploy" / "superset" / "extensions.py"
        run(program.with_name("python"), layout, extensions)
        run(program, "db", "upgrade")
        person = ("--firstname=A", "--lastname=A", "--email=admin@example.org")
        user = ("--username=admin", f"--password={password}")
        run(program, "fab", "create-admin", *user, *person)
        run(program, "init")

        def attempt() -> str:
            (port,) = free_ports(1)
            url = f"http://{HOST}:{port}"

            def answers() -> bool:
                with (
                    contextlib.suppress(OSError),
                    urllib.request.urlopen(f"{url}/health", timeout=5) as answer,
                ):
                    return bool(answer.status == 200)
                return False

            owned.start(
                [
                    *(str(program.with_name("gunicorn")), f"--bind={HOST}:{port}"),
                    *("--workers=1", "--threads=4", "--timeout=600"),
                    "superset.app:create_app()",
                ],
                environment=environment,
                answers=answers,
                patience_s=_PATIENCE_S,
            )
            return url

        yield SupersetServer(with_other_ports(attempt), password, extensions)
