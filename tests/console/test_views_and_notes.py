"""Saved views and notes on days: whose they are, who sees them, who may write them, and the audit log."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from tests.support.people import claims
from tests.support.platform import Platform
from tests.support.two_tenants import ORGANIZATION, TwoTenants

LISTS = {
    "FLEETMETER_OPERATORS": "ben@fleet.example",
    "FLEETMETER_VIEWERS": "ann@fleet.example,eva@fleet.example",
}
ANN, EVA, BEN = (claims(email=f"{name}@fleet.example") for name in ("ann", "eva", "ben"))


@pytest.fixture
def platform(engine: Engine, signing_in: Callable[..., None], rivals: TwoTenants) -> Platform:
    signing_in(**LISTS, FLEETMETER_ORGANIZATION_VIEWERS=f"bob@customer.example={rivals.organization}")
    return Platform(engine)


def as_person(person: dict[str, Any], call: str) -> list[str]:
    """What `call` answers when that person makes it, or the sentence with which it is refused."""

    def script(call: str) -> None:
        from datetime import date

        import streamlit as st

        from console.data.session import current_person
        from console.data.transactions import read_transaction
        from console.data.views import annotations, saved_views
        from console.data.views.annotations import Note
        from metering.errors import FleetmeterError

        def views() -> list[str]:
            with read_transaction() as page:
                return [row["name"] for row in saved_views.read(page.connection, current_person().actor)]

        def notes() -> list[str]:
            with read_transaction() as page:
                read = annotations.read(page.connection, date(2026, 1, 1), date(2026, 12, 31))
                return [row["text"] for row in read]

        names = {"views": views, "notes": notes, "saved_views": saved_views, "annotations": annotations}
        try:
            answer = eval(  # noqa: S307 - a test's own words
                call, names | {"Note": Note, "date": date}
            )
            for word in answer if isinstance(answer, list) else [answer]:
                st.text(str(word))
        except FleetmeterError as error:
            st.text(str(error))

    page = AppTest.from_function(script, args=(call,), default_timeout=60)
    page.user = person
    page.run()
    assert not page.exception
    return [element.value for element in page.text]


def test_a_view_is_its_owners_until_an_operator_shares_it(platform: Platform) -> None:
    as_person(ANN, "saved_views.save('Growth', 'explore', 'meters=api_calls')")
    assert as_person(EVA, "views()") == []
    assert "takes operator" in as_person(ANN, "saved_views.save('Ours', 'explore', '', shared=True)")[0]
    as_person(BEN, "saved_views.save('For all', 'changes', 'meters=charge', shared=True, pinned=True)")
    assert as_person(ANN, "views()") == ["Growth", "For all"]
    (foreign,) = platform.rows("SELECT id FROM saved_views WHERE name = 'For all'")
    assert "another person's" in as_person(ANN, f"saved_views.delete({foreign[0]})")[0]
    as_person(ANN, "saved_views.save('Growth', 'explore', 'meters=logs')")  # the same name replaces it
    assert platform.scalar("SELECT address FROM saved_views WHERE name = 'Growth'") == "meters=logs"
    actions = platform.rows("SELECT actor, action FROM audit_log WHERE action LIKE '%view' ORDER BY id")
    assert actions == [("ann@fleet.example", "save view"), ("ben@fleet.example", "save view"),
                       ("ann@fleet.example", "save view")]  # fmt: skip


def test_a_customer_sees_own_views_and_notes_only(platform: Platform, rivals: TwoTenants) -> None:
    bob = claims(email="bob@customer.example")
    as_person(BEN, "saved_views.save('Rival grows', 'explore', '', shared=True)")
    as_person(bob, "saved_views.save('Mine', 'explore', '')")
    assert as_person(bob, "views()") == ["Mine"]
    assert as_person(BEN, "views()") == ["Rival grows"]
    assert "owner's alone" in as_person(bob, "saved_views.save('Mine', 'explore', '', shared=True)")[0]
    day = "date(2026, 11, 20), date(2026, 11, 20)"
    for owner in (rivals.organization, ORGANIZATION, None):
        as_person(BEN, f"annotations.write(Note({day}, 'incident', 'about {owner}', {owner}))")
    assert as_person(bob, "notes()") == [f"about {rivals.organization}"]
    assert len(as_person(BEN, "notes()")) == 3
    assert "takes operator" in as_person(bob, f"annotations.write(Note({day}, 'other', 'x'))")[0]
    assert (
        "no project 999999"
        in as_person(BEN, f"annotations.write(Note({day}, 'other', 'x', None, 999999))")[0]
    )
