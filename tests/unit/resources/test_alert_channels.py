"""Alerts by webhook and e-mail against real servers: delivered, or a reason without a secret."""

from __future__ import annotations

import base64
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from aq_resources.alert_channels import AlertSettings, Channel, deliver, open_channels
from aq_resources.failures import SettingsError
from tests.servers.sinks import Mail, MailSink, WebhookSink, mail_sink, webhook_sink

SECRET = "T0KEN-of-the-test"
PASSWORD = "p4ssword-of-the-test"

pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.fixture
def hook() -> Iterator[WebhookSink]:
    with webhook_sink() as sink:
        yield sink


@pytest.fixture
def mail() -> Iterator[MailSink]:
    with mail_sink() as sink:
        yield sink


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sink of the tests")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "sink.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture
def secure_mail(certificate: Path) -> Iterator[MailSink]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with mail_sink(context) as sink:
        yield sink


def channels(patch: pytest.MonkeyPatch, **settings: object) -> list[Channel]:
    for name, value in settings.items():
        patch.setenv(f"AQ_ALERT_{name}", str(value))
    return open_channels(AlertSettings())


def by_mail(patch: pytest.MonkeyPatch, sink: MailSink, **settings: object) -> list[Channel]:
    plain = {
        "EMAIL_TO": "ana@example.org, bo@example.org",
        "EMAIL_FROM": "aq@example.org",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": sink.port,
        "SMTP_SECURITY": "none",
    }
    return channels(patch, **{**plain, **settings})


def send(to: list[Channel], subject: str = "[aq] FAILED: x", text: str = "Cause: y") -> str | None:
    (channel,) = to
    return deliver({channel.name: (subject, text)}, to)[channel.name]


def parsed(mail: Mail) -> EmailMessage:
    message = message_from_bytes(mail.data.encode("ascii"), policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_without_settings_there_is_no_channel() -> None:
    assert open_channels(AlertSettings()) == []


class TestWebhook:
    def test_subject_and_text_arrive_as_text(
        self, hook: WebhookSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert send(channels(monkeypatch, WEBHOOK=hook.url(f"/{SECRET}"))) is None
        assert hook.posted == [(f"/{SECRET}", "[aq] FAILED: x\nCause: y")]

    def test_upstream_text_cannot_call_everybody(
        self, hook: WebhookSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert send(channels(monkeypatch, WEBHOOK=hook.url()), text="<!channel> a & b") is None
        assert hook.texts == ["[aq] FAILED: x\n&lt;!channel&gt; a &amp; b"]

    @pytest.mark.parametrize("status", [302, 404, 503])
    def test_a_refusal_is_told_with_its_status(
        self, hook: WebhookSink, monkeypatch: pytest.MonkeyPatch, status: int
    ) -> None:
        hook.status = status
        assert send(channels(monkeypatch, WEBHOOK=hook.url())) == f"answered {status}"

    def test_the_address_is_in_no_log_and_no_reason(
        self,
        hook: WebhookSink,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        for address in (hook.url(f"/{SECRET}"), f"http://127.0.0.1:9/{SECRET}"):
            reason = send(channels(monkeypatch, WEBHOOK=address))
            assert SECRET not in str(reason)
        assert len(hook.posted) == 1
        assert SECRET not in caplog.text
        assert SECRET not in repr(AlertSettings())

    def test_the_filter_is_gone_afterwards(
        self, hook: WebhookSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = list(logging.getLogger("httpx").filters)
        send(channels(monkeypatch, WEBHOOK=hook.url()))
        assert logging.getLogger("httpx").filters == before

    def test_nobody_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reason = send(channels(monkeypatch, WEBHOOK="http://127.0.0.1:9/hook"))
        assert reason == "cannot be reached (ConnectError)"


class TestEmail:
    def test_every_receiver_gets_subject_and_text(
        self, mail: MailSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = "Cause: PM2.5 in µg/m³\nDo: mend it"
        assert send(by_mail(monkeypatch, mail), "[aq] FAILED:\nraw pulls", text) is None
        (arrived,) = mail.mails
        message = parsed(arrived)
        assert (arrived.sender, arrived.to) == (
            "aq@example.org",
            ["ana@example.org", "bo@example.org"],
        )
        assert message["Subject"] == "[aq] FAILED: raw pulls"
        assert message["To"] == "ana@example.org, bo@example.org"
        assert message["Message-ID"].endswith("@example.org>")
        assert message["Auto-Submitted"] == "auto-generated"
        assert message.get_content().splitlines() == text.splitlines()

    def test_the_sender_is_the_first_receiver_by_default(
        self, mail: MailSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert send(by_mail(monkeypatch, mail, EMAIL_FROM="")) is None
        assert mail.mails[0].sender == "ana@example.org"

    def test_starttls_and_login(
        self, secure_mail: MailSink, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        login = {"SMTP_SECURITY": "starttls", "SMTP_USERNAME": "aq", "SMTP_PASSWORD": PASSWORD}
        assert send(by_mail(monkeypatch, secure_mail, **login)) is None
        (arrived,) = secure_mail.mails
        assert arrived.encrypted
        assert base64.b64decode(arrived.login).decode().split("\0") == ["", "aq", PASSWORD]

    def test_an_unknown_certificate_is_refused(
        self, secure_mail: MailSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reason = send(by_mail(monkeypatch, secure_mail, SMTP_SECURITY="starttls"))
        assert "CERTIFICATE_VERIFY_FAILED" in str(reason)
        assert secure_mail.mails == []

    def test_a_server_without_tls_gets_nothing(
        self, mail: MailSink, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        login = {"SMTP_SECURITY": "starttls", "SMTP_USERNAME": "aq", "SMTP_PASSWORD": PASSWORD}
        reason = send(by_mail(monkeypatch, mail, **login))
        assert "STARTTLS" in str(reason)
        assert mail.mails == []

    def test_one_receiver_refused_is_no_reason_to_send_again(
        self,
        mail: MailSink,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        mail.refused = ("bo@example.org",)
        assert send(by_mail(monkeypatch, mail)) is None
        assert mail.mails[0].to == ["ana@example.org"]
        assert "bo@example.org" in caplog.text

    def test_all_receivers_refused(self, mail: MailSink, monkeypatch: pytest.MonkeyPatch) -> None:
        mail.refused = ("ana@example.org", "bo@example.org")
        assert send(by_mail(monkeypatch, mail)) == "refused ana@example.org, bo@example.org"

    def test_what_the_server_says_is_told_without_the_password(
        self, secure_mail: MailSink, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        secure_mail.broken = f"451 busy, {PASSWORD}"
        login = {"SMTP_SECURITY": "starttls", "SMTP_USERNAME": "aq", "SMTP_PASSWORD": PASSWORD}
        assert send(by_mail(monkeypatch, secure_mail, **login)) == "answered 451 b'busy, ***'"


def test_a_channel_that_hangs_does_not_stop_the_other(
    hook: WebhookSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        both = channels(
            monkeypatch,
            WEBHOOK=hook.url(),
            EMAIL_TO="ana@example.org",
            SMTP_HOST="127.0.0.1",
            SMTP_PORT=silent.getsockname()[1],
        )
        outcomes = deliver({channel.name: ("s", "t") for channel in both}, both, seconds=3)
    assert outcomes == {"webhook": None, "e-mail": "did not take it within 3 s"}
    for thread in threading.enumerate():
        if thread.name == "alert":
            thread.join(10)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"WEBHOOK": f"ftp://x/{SECRET}"}, ["AQ_ALERT_WEBHOOK"]),
        ({"EMAIL_TO": "ana"}, ["AQ_ALERT_EMAIL_TO", "'ana'"]),
        ({"EMAIL_TO": "ana@example.org"}, ["SMTP_HOST"]),
        ({"SMTP_USERNAME": "aq"}, ["SMTP_PASSWORD"]),
        (
            {"SMTP_USERNAME": "aq", "SMTP_PASSWORD": SECRET, "SMTP_SECURITY": "none"},
            ["SMTP_SECURITY"],
        ),
        ({"SMTP_SECURITY": "ssl"}, ["AQ_ALERT_SMTP_SECURITY"]),
        ({"SMTP_PORT": "0"}, ["AQ_ALERT_SMTP_PORT"]),
    ],
)
def test_wrong_settings_are_named(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], names: list[str]
) -> None:
    with pytest.raises(SettingsError) as refused:
        channels(monkeypatch, **settings)
    assert all(name in str(refused.value) for name in names)
    assert SECRET not in str(refused.value)
