"""Programs that `make extras` installs: without one a test is skipped, and in CI it fails."""

import os
import shutil
from typing import NoReturn

import pytest


def require(name: str) -> str:
    """Return the path of a program; skip the test without it.

    A program that only an administrator's PATH has is found too. In CI a missing one fails the test.
    """
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    return path or missing(name)


def missing(name: str) -> NoReturn:
    """Skip the test, or in CI fail it, and name the program."""
    sentence = f"{name} is not installed; get it with: make extras"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)
