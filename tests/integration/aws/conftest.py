"""A stand-in of AWS for the tests of this folder."""

import threading
from collections.abc import Iterator

import pytest

from metering.config.settings import Settings
from tests.support.aws import Cloud


@pytest.fixture
def cloud(configured: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    server = Cloud()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
