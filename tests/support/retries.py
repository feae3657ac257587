"""botocore's retries without their waits, which take seconds each."""

import pytest
from botocore.retries.bucket import TokenBucket
from botocore.retries.standard import ExponentialBackoff


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let botocore repeat a failed request without a wait."""
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.01)
    monkeypatch.setattr(TokenBucket, "acquire", lambda *_, **__: True)
