"""Values of a test that are tried in the drills only."""

import pytest


def later(*values: object) -> object:
    """Return a test case that only `make drill` tries."""
    return pytest.param(*values, marks=pytest.mark.drill)
