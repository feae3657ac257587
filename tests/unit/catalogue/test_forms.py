"""Forms that have sealed rows never change; a meter belongs to the form that the catalogue names."""

import hashlib

import pytest

from metering.catalogue import forms
from metering.catalogue.meters import COUNTERS, GAUGES

# The SHA-256 of the columns of each form that was released. A release adds the newest form's;
# none of them ever changes.
RELEASED = {
    1: "b4883bc1708e8ae82577b86d0c7f8942965047f9b78c284597f37a06d503fee5",
    2: "ebcc9034d275d9823a15a1fb7a9ce51fc820274101418b8c7d9eac86d14e28ff",
}


def digest(form: int) -> str:
    tables = (forms.columns("daily_stats", form), forms.columns("monthly_stats", form))
    return hashlib.sha256("\n".join(" ".join(names) for names in tables).encode()).hexdigest()


def test_a_released_form_has_the_columns_that_it_was_released_with() -> None:
    assert {form: digest(form) for form in RELEASED} == RELEASED


def test_only_the_newest_form_may_be_unreleased() -> None:
    assert set(forms.FORMS) - set(RELEASED) <= {forms.NEWEST}


def test_every_meter_is_hashed_from_its_form_on() -> None:
    for form in forms.FORMS:
        days, bills = forms.columns("daily_stats", form), forms.columns("monthly_stats", form)
        for counter in COUNTERS:
            assert (counter.name in days, counter.name in bills) == ((counter.since <= form),) * 2
        for gauge in GAUGES:
            assert (gauge.name in days) == (f"peak_{gauge.name}" in bills) == (gauge.since <= form)


def test_the_newest_form_is_the_first_one_with_everything_added_since() -> None:
    first, newest = (set(forms.columns("monthly_stats", form)) for form in (1, forms.NEWEST))
    assert newest - first == set(forms.columns_after("monthly_stats", 1))
    assert {"form", "meters"} <= newest - first


@pytest.mark.parametrize("form", [0, -1, forms.NEWEST + 1])
def test_a_form_that_is_not_known_is_refused(form: int) -> None:
    with pytest.raises(ValueError, match=f"form {form} is not known"):
        forms.columns("daily_stats", form)
