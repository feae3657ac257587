"""Values of a test that are tried in the drills only."""

import pytest


def later(*values: object) -> object:
    """Return the values of one case, which `make drill` tries and `make test` does not."""
    return pytest.param(*values, marks=pytest.mark.drill)
