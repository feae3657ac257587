"""The error tree is drawn in the docstring of its module."""

import re

from metering import errors


def test_every_error_is_drawn() -> None:
    names = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert names == set(re.findall(r"\b[A-Z]\w+[a-z][A-Z]\w+", errors.__doc__ or ""))
