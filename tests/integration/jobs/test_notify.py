"""Alerts reach every channel once, a failing channel is tried again, and no secret shows."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import Engine

from jobs import alert_channels, notify
from metering.config.settings import Settings, load_settings
from metering.errors import SettingsError
from tests.support.platform import Platform

AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)


class Receiver:
    """A webhook that answers `status` and keeps what it was told."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.status == 200:
                    receiver.messages.append(json.loads(body))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"json://someone:pa55word@127.0.0.1:{self.server.server_port}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()


def to(*receivers: Receiver) -> list[alert_channels.Channel]:
    return alert_channels.configured(load_settings(alert_urls=" ".join(one.address for one in receivers)))


def alert(platform: Platform, subject: str, severity: str = "warning") -> None:
    platform.sql(
        "INSERT INTO alerts (kind, severity, subject, detail, opened_at)"
        " VALUES ('job_failed', :severity, :subject, jsonb_build_object('job', CAST(:subject AS text),"
        " 'period', 'p', 'error', 'denied', 'failures', 0), :at)",
        severity=severity,
        subject=subject,
        at=AT,
    )


def test_an_alert_is_told_once_when_it_opens_and_once_when_it_is_over(
    engine: Engine, platform: Platform, receiver: Receiver
) -> None:
    channels = to(receiver)
    alert(platform, "hourly")
    for _ in range(2):
        assert notify.deliver(engine, channels) == {}
    assert [message["title"] for message in receiver.messages] == ["Fleetmeter: 1 opened"]
    assert receiver.messages[0]["message"] == "[warning] Job hourly of p failed: denied"
    platform.sql("UPDATE alerts SET resolved_at = :at", at=datetime.now(UTC))
    for _ in range(2):
        notify.deliver(engine, channels)
    assert [message["title"] for message in receiver.messages[1:]] == ["Fleetmeter: 1 resolved"]


def test_many_alerts_are_few_messages_the_critical_ones_first(
    engine: Engine, platform: Platform, receiver: Receiver
) -> None:
    for number in range(notify.BATCH + 5):
        alert(platform, f"subject {number}", "critical" if number == 60 else "warning")
    notify.deliver(engine, to(receiver))
    first, second = receiver.messages
    assert first["message"].startswith("[critical] Job subject 60 of p failed: denied")
    assert first["message"].endswith("and 80 more; see: fleetmeter alerts")
    assert second["title"] == "Fleetmeter: 5 opened"


def test_a_channel_that_fails_is_tried_again_and_delays_no_other(
    engine: Engine, platform: Platform, receiver: Receiver
) -> None:
    broken = Receiver()
    broken.status = 500
    channels = to(broken, receiver)
    alert(platform, "hourly")
    assert list(notify.deliver(engine, channels)) == [channels[0].name]
    assert len(receiver.messages) == 1
    [(attempt, error, sent_at)] = platform.rows(
        "SELECT attempt, error, sent_at FROM alert_notices WHERE channel = :name", name=channels[0].name
    )
    assert (attempt, sent_at) == (1, None)
    assert "did not take the message" in error
    broken.status = 200
    platform.sql("UPDATE alert_notices SET next_attempt_at = now() WHERE sent_at IS NULL")
    assert notify.deliver(engine, channels) == {}
    assert (len(broken.messages), len(receiver.messages)) == (1, 1)


def test_a_notice_that_failed_waits_for_its_turn(
    engine: Engine, platform: Platform, receiver: Receiver
) -> None:
    alert(platform, "hourly")
    platform.sql(
        """INSERT INTO alert_notices (alert_id, channel, event, next_attempt_at)
        SELECT id, :name, 'opened', now() + interval '1 minute' FROM alerts""",
        name=to(receiver)[0].name,
    )
    notify.deliver(engine, to(receiver))
    assert receiver.messages == []


def test_two_runners_tell_it_once(engine: Engine, platform: Platform, receiver: Receiver) -> None:
    for number in range(20):
        alert(platform, str(number))
    runners = [threading.Thread(target=notify.deliver, args=(engine, to(receiver))) for _ in range(4)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    lines = "\n".join(message["message"] for message in receiver.messages).splitlines()
    assert len(lines) == len(set(lines)) == 20


def test_what_was_over_before_anybody_heard_of_it_is_no_news(
    engine: Engine, platform: Platform, receiver: Receiver
) -> None:
    receiver.status = 503
    alert(platform, "hourly")
    notify.deliver(engine, to(receiver))
    receiver.status = 200
    platform.sql("UPDATE alerts SET resolved_at = now()")
    platform.sql("UPDATE alert_notices SET next_attempt_at = now()")
    notify.deliver(engine, to(receiver))
    assert receiver.messages == []


def test_a_wrong_address_is_refused_by_its_place_and_without_its_secret(
    configured: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SettingsError) as refused:
        alert_channels.configured(load_settings(alert_urls="json://ok nothing://me:secret@somewhere"))
    assert "FLEETMETER_ALERT_URLS: address 2" in str(refused.value)
    assert "secret" not in str(refused.value) + "".join(capfd.readouterr())


def test_the_name_of_a_channel_holds_no_secret(configured: Settings, receiver: Receiver) -> None:
    assert "pa55word" not in to(receiver)[0].name


def test_sns_gets_the_message(
    engine: Engine, platform: Platform, configured: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    topics: Any = boto3.client("sns", endpoint_url=endpoint, region_name="eu-west-1")
    queues: Any = boto3.client("sqs", endpoint_url=endpoint, region_name="eu-west-1")
    topic = topics.create_topic(Name="alerts")["TopicArn"]
    queue = queues.create_queue(QueueName="operators")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topics.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    alert(platform, "hourly")
    settings = load_settings(alert_sns_topic_arn=topic, aws_endpoint_url=endpoint)
    assert notify.deliver(engine, alert_channels.configured(settings)) == {}
    [message] = queues.receive_message(QueueUrl=queue)["Messages"]
    body = json.loads(message["Body"])
    assert (body["Subject"], body["Message"]) == (
        "Fleetmeter: 1 opened",
        "[warning] Job hourly of p failed: denied",
    )
    server.stop()


def test_an_escalation_is_told_once_and_only_after_the_opening(
    engine: Engine, platform: Platform, receiver: Receiver
) -> None:
    channels = to(receiver)
    alert(platform, "hourly")
    opened = '[{"event": "opened"}]'
    platform.sql("UPDATE alerts SET history = CAST(:history AS jsonb)", history=opened)
    notify.deliver(engine, channels)
    escalate = """UPDATE alerts SET severity = 'critical', history = history || '[{"event": "escalated"}]'"""
    for _ in range(2):  # the second comes before the first was told
        platform.sql(escalate)
    for _ in range(2):
        notify.deliver(engine, channels)
    assert [message["title"] for message in receiver.messages] == [
        "Fleetmeter: 1 opened",
        "Fleetmeter: 1 escalated",
    ]
    assert receiver.messages[1]["message"].startswith("[escalated, critical] Job hourly")
    alert(platform, "daily")
    platform.sql("UPDATE alerts SET history = '[{}, {}]' WHERE subject = 'daily'")
    for _ in range(2):
        notify.deliver(engine, channels)
    assert len(receiver.messages) == 3, "who is told of it late is told once"
