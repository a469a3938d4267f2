"""What the servers of one sandbox share: its configuration, clock, faults, log and answers."""

from aq_sandbox.clock import SandboxClock
from aq_sandbox.config import SandboxConfig
from aq_sandbox.faults import FaultSwitch, RequestLog


class Sandbox:
    """One running sandbox. `answers` holds exact bodies to serve, by station id."""

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self.clock = SandboxClock(config.now, config.speed)
        self.faults = FaultSwitch()
        self.requests = RequestLog()
        self.answers: dict[str, str] = {}

    def reset(self) -> None:
        """Back to the state at the start, in place: the servers hold this object."""
        self.faults.clear()
        self.requests.clear()
        self.answers.clear()
        self.clock.set(self.config.now, self.config.speed)
