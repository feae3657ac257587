"""A daemon on a thread of the test, and what it has counted."""

import threading
from typing import Any

from collectors.mqtt import daemon
from metering.config.settings import Settings
from metering.db.engine import open_engine
from tests.support.platform import Platform


class Running:
    """A daemon on a thread of the test."""

    def __init__(self, settings: Settings, plain: bool = False, **options: Any) -> None:
        self.stop = threading.Event()
        self.code: int | None = None
        self.error: Exception | None = None
        self._engine = open_engine(settings)
        self._thread = threading.Thread(target=self._run, args=(settings, plain), kwargs=options, daemon=True)
        self._thread.start()

    def _run(self, settings: Settings, plain: bool, **options: Any) -> None:
        try:
            self.code = daemon.run(settings, self._engine, self.stop, plain=plain, **options)
        except Exception as error:
            self.error = error

    def finish(self) -> int | None:
        self.stop.set()
        return self.join()

    def join(self) -> int | None:
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._engine.dispose()
        return self.code

    def raise_if_failed(self) -> None:
        self.join()
        if self.error:
            raise self.error


def connected(platform: Platform) -> bool:
    return bool(platform.scalar("SELECT bool_or(connected) FROM mqtt_sessions"))


def message_count(platform: Platform) -> int:
    return int(
        platform.scalar("""
            SELECT coalesce((SELECT sum(mqtt_inbound + mqtt_outbound) FROM project_stats), 0)
                + coalesce((SELECT sum(messages) FROM unattributed_messages), 0)""")
    )
