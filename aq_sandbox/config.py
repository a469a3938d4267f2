"""What a sandbox is to be: how many stations, which readings, which clock, which credentials."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True)
class SandboxConfig:
    """`replay` serves recorded answers from that folder instead of made-up ones.

    `fetched_by` ("2023-12", inclusive) picks the newest recording fetched by then. `now` fixes the
    clock, or starts it there with a `speed`. The credentials count only with `auth`.
    """

    stations: int = 3
    seed: int = 1
    replay: Path | None = None
    fetched_by: str | None = None
    now: datetime | None = None
    speed: float | None = None
    auth: bool = False
    token_seconds: int = 300
    username: str = "demo-user"
    password: str = "demo-password"
    client_id: str = "demo-client"
    client_secret: str = "demo-secret"
