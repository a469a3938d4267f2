"""Where alerts go besides the log: a webhook and e-mail, each if its settings are there."""

from __future__ import annotations

import logging
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Literal, Protocol, Self

import httpx
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from aq_resources.settings import EnvironmentSettings

# Of one step of a delivery, and of all of them together: a sensor's tick has to end.
STEP_SECONDS = 4.0
DELIVERY_SECONDS = 6.0

_LOG = logging.getLogger("aq.alerts")


class AlertSettings(EnvironmentSettings):
    """Channels of the alerts; without any they are in the log alone."""

    model_config = SettingsConfigDict(env_prefix="AQ_ALERT_", env_ignore_empty=True)
    login = "The login is AQ_ALERT_SMTP_USERNAME and AQ_ALERT_SMTP_PASSWORD."

    webhook: SecretStr | None = Field(
        None, description='Address that takes Slack-compatible JSON, `{"text": …}`'
    )
    email_to: str = Field("", description="Receivers of e-mail, separated by commas")
    email_from: str = Field("", description="Sender; default the first receiver")
    smtp_host: str = Field("", description="Mail server; needed for e-mail")
    smtp_port: int = Field(587, ge=1, le=65535, description="Its port")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="`starttls`, `tls` from the first byte (port 465), or `none`"
    )
    smtp_username: str = Field("", description="Login at the mail server")
    smtp_password: SecretStr | None = Field(None, description="Its password")

    @field_validator("webhook")
    @classmethod
    def _address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("https://", "http://")):
            raise ValueError("must start with https:// or http://")
        return value

    @field_validator("smtp_host")
    @classmethod
    def _host_alone(cls, value: str) -> str:
        if set("@/") & set(value):
            raise ValueError(f"must be the mail server's name and no more. {cls.login}")
        return value

    @field_validator("email_to", "email_from")
    @classmethod
    def _addresses(cls, value: str) -> str:
        found = [part.strip() for part in value.split(",") if part.strip()]
        for address in found:
            if "@" not in address or any(c.isspace() for c in address):
                raise ValueError(f"{address!r} is no e-mail address")
        return ", ".join(found)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.email_to and not self.smtp_host:
            raise ValueError("EMAIL_TO needs SMTP_HOST, the mail server")
        if bool(self.smtp_username) != (self.smtp_password is not None):
            raise ValueError("SMTP_USERNAME and SMTP_PASSWORD go together: give both or neither")
        if self.smtp_username and self.smtp_security == "none":
            raise ValueError("SMTP_PASSWORD is not sent in the clear: set SMTP_SECURITY")
        return self


class DeliveryError(Exception):
    """The channel did not take the message; says why without any secret."""


class Channel(Protocol):
    """One way to reach a person."""

    @property
    def name(self) -> str: ...

    def send(self, subject: str, text: str) -> None:
        """Deliver, or raise `DeliveryError`."""


@dataclass(frozen=True)
class Webhook:
    """A POST of `{"text": …}`, as Slack, Mattermost and many others take it."""

    url: SecretStr
    name: str = "webhook"

    def send(self, subject: str, text: str) -> None:
        address = self.url.get_secret_value()
        try:
            with _unlogged(), httpx.Client(timeout=STEP_SECONDS) as client:
                answer = client.post(address, json={"text": _escaped(f"{subject}\n{text}")})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # The message may quote the address, which is the secret.
            raise DeliveryError(f"cannot be reached ({type(error).__name__})") from None
        if not answer.is_success:
            raise DeliveryError(f"answered {answer.status_code}")


@dataclass(frozen=True)
class Email:
    """Plain text by SMTP."""

    settings: AlertSettings
    name: str = "e-mail"

    def send(self, subject: str, text: str) -> None:
        settings = self.settings
        to = settings.email_to.split(", ")
        message = EmailMessage()
        message["Subject"] = " ".join(subject.split())
        message["From"] = settings.email_from or to[0]
        message["To"] = settings.email_to
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=message["From"].rpartition("@")[2].strip(">"))
        message["Auto-Submitted"] = "auto-generated"
        # Any server takes it, one that knows no 8BITMIME too.
        message.set_content(text, cte="quoted-printable")
        try:
            with self._connected() as server:
                refused = server.send_message(message)
        except smtplib.SMTPResponseException as error:
            raise DeliveryError(
                self._clean(f"answered {error.smtp_code} {error.smtp_error!r}")
            ) from None
        except smtplib.SMTPRecipientsRefused as error:
            raise DeliveryError(f"refused {', '.join(error.recipients)}") from None
        except (smtplib.SMTPException, OSError) as error:
            raise DeliveryError(self._clean(f"{type(error).__name__}: {error}")) from None
        if refused:
            # The others have it: sending again would only repeat it to them.
            _LOG.warning("The mail server refused %s", ", ".join(refused))

    @contextmanager
    def _connected(self) -> Iterator[smtplib.SMTP]:
        settings = self.settings
        where = (settings.smtp_host, settings.smtp_port)
        # The name's look-up by default may take long.
        own = socket.gethostname()
        if settings.smtp_security == "tls":
            context = ssl.create_default_context()
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                *where, own, timeout=STEP_SECONDS, context=context
            )
        else:
            server = smtplib.SMTP(*where, own, timeout=STEP_SECONDS)
        with server:
            if settings.smtp_security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if settings.smtp_password is not None:
                server.login(settings.smtp_username, settings.smtp_password.get_secret_value())
            yield server

    def _clean(self, text: str) -> str:
        password = self.settings.smtp_password
        return text.replace(password.get_secret_value(), "***") if password is not None else text


def open_channels(settings: AlertSettings) -> list[Channel]:
    """The channels that the settings describe, besides the log."""
    channels: list[Channel] = []
    if settings.webhook is not None:
        channels.append(Webhook(settings.webhook))
    if settings.email_to:
        channels.append(Email(settings))
    return channels


def deliver(
    messages: Mapping[str, tuple[str, str]],
    channels: list[Channel],
    seconds: float = DELIVERY_SECONDS,
) -> dict[str, str | None]:
    """Send each channel its message, all at once.

    Args:
        messages: subject and text by the channel's name; a channel without one gets none.
        channels: where to send.
        seconds: one that has not ended by then counts as failed and is left to end by itself.

    Returns:
        By the channel's name None, or what went wrong.
    """
    outcomes: dict[str, str | None] = {}

    def send(channel: Channel, subject: str, text: str) -> None:
        try:
            channel.send(subject, text)
        except DeliveryError as error:
            outcomes[channel.name] = str(error)
        except ValueError as error:
            # An address or text that cannot be encoded; the message may quote it.
            outcomes[channel.name] = f"cannot be used ({type(error).__name__})"
        else:
            outcomes[channel.name] = None

    threads = []
    for channel in channels:
        if channel.name in messages:
            work = threading.Thread(
                target=send, args=(channel, *messages[channel.name]), name="alert", daemon=True
            )
            work.start()
            threads.append(work)
    end = time.monotonic() + seconds
    for work in threads:
        work.join(max(0.0, end - time.monotonic()))
    done = dict(outcomes)
    return {name: done.get(name, f"did not take it within {seconds:g} s") for name in messages}


def _escaped(text: str) -> str:
    """Slack's three: upstream text must not become a mention of everybody or a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep httpx from logging the address of this thread's request."""
    own = threading.get_ident()

    def of_another(record: logging.LogRecord) -> bool:
        return record.thread != own

    log = logging.getLogger("httpx")
    log.addFilter(of_another)
    try:
        yield
    finally:
        log.removeFilter(of_another)
