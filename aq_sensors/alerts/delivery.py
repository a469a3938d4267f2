"""Messages to the log at once, and to webhook and e-mail as soon as they take them."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import dagster as dg

from aq_resources.alert_channels import AlertSettings, deliver, open_channels
from aq_resources.failures import SettingsError
from aq_sensors.alerts.state import AlertState, Message, Outbox

_LOG = logging.getLogger("aq.alerts")


def log_message(message: Message, context: dg.SensorEvaluationContext) -> None:
    """Write the message to the log `aq.alerts` and to that of the tick."""
    line = f"{message.subject}: {message.text}".replace("\n", "; ")
    level = logging.WARNING if message.ended else logging.ERROR
    for log in (_LOG, context.log):
        log.log(level, line)


def log_problem(problem: str, context: dg.SensorEvaluationContext) -> None:
    """Write what went wrong in the tick itself to the same two logs."""
    _LOG.warning(problem)
    context.log.warning(problem)


def send(state: AlertState, messages: Sequence[Message]) -> list[str]:
    """Hand over what is due, and keep what a channel does not take for a later tick.

    Returns one sentence for each channel that did not take its messages.
    """
    try:
        channels = open_channels(AlertSettings())
    except SettingsError as error:
        for outbox in state.outboxes.values():
            outbox.add(messages)
        return [str(error)]
    state.outboxes = {c.name: state.outboxes.get(c.name, Outbox()) for c in channels}
    clock = time.time()
    due = {}
    for name, outbox in state.outboxes.items():
        outbox.add(messages)
        batch = outbox.batch(clock)
        if batch is not None:
            due[name] = batch
    problems: list[str] = []
    for name, refusal in deliver(due, channels).items():
        if refusal is None:
            state.outboxes[name].delivered()
        else:
            state.outboxes[name].failed(clock)
            problems.append(f"{name} {refusal}.")
    return problems
