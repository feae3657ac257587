"""The controls of Audit, of a pause and of an approval, pressed in a browser; SQL says what they did."""

import re
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from tests.console.test_sign_in import sign_in
from tests.support.browser_site import Site, choose, pick, press, visit, wait_until_idle
from tests.support.oidc_console import OPERATORS, Guarded
from tests.support.platform import Platform
from tests.support.until import until

pytestmark = [pytest.mark.browser, pytest.mark.drill, pytest.mark.timeout(400)]


def test_the_audit_log_is_filtered_turned_over_and_downloaded(page: Page, site: Site) -> None:
    Platform(site.engine).sql("""
        INSERT INTO audit_log (at, actor, action, subject, after)
        SELECT now(), 'cli', 'cancel', 'run ' || n, '{}' FROM generate_series(1, 250) n""")
    visit(page, site, "audit?actor=cli")
    page.get_by_role("textbox", name="To").fill("run 2")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("subject=run"))
    choose(page, "Did", "Cancel")
    expect(page).to_have_url(re.compile("action=cancel"))
    page.get_by_role("textbox", name="Who").fill("")
    page.keyboard.press("Enter")
    wait_until_idle(page)
    for label in ("From", "To"):
        pick(page, label, datetime.now(UTC).date())
    page.get_by_role("textbox", name="To").fill("")
    page.keyboard.press("Enter")
    press(page, "older")
    expect(page).to_have_url(re.compile("before="))
    with page.expect_download() as download:
        press(page, "audit-csv")
    assert download.value.suggested_filename.startswith("fleetmeter-audit-")
    assert download.value.path().read_text("utf-8").count("\n") == 251
    press(page, "newest")
    expect(page).to_have_url(re.compile("^((?!before=).)*$"))


def test_a_job_is_paused_with_a_reason_and_resumed(page: Page, site: Site) -> None:
    visit(page, site, "jobs")
    press(page, "pause-retention")
    choose(page, "For how many hours", "12")
    page.get_by_role("textbox", name="Why").fill("the disk is being moved")
    press(page, "confirm-pause-retention")
    expect(page.get_by_text("the disk is being moved")).to_be_visible()
    assert site.row(
        "SELECT job, reason, round(extract(epoch FROM until - paused_at) / 3600) FROM job_pauses"
    ) == (
        "retention",
        "the disk is being moved",
        12,
    )
    press(page, "resume-retention")
    expect(page.get_by_text("the disk is being moved")).to_have_count(0)
    assert site.scalar("SELECT count(*) FROM job_pauses") == 0


def test_a_second_person_approves_and_refuses(page: Page, guarded: Guarded) -> None:
    environment = guarded.log.parent / ".env"
    environment.write_text(f"{OPERATORS}\nFLEETMETER_APPROVAL=close\n")
    Platform(guarded.engine).sql("""
        INSERT INTO approvals (action, subject, asked_by, asked_at) VALUES
            ('close', '2020-01', 'cat@fleet.example', now()),
            ('close', '2020-02', 'cat@fleet.example', now())""")
    first, second = (row[0] for row in guarded.rows("SELECT id FROM approvals ORDER BY id"))
    try:
        _decide(page, guarded, first, second)
    finally:
        environment.write_text(OPERATORS)
    assert guarded.rows("SELECT state, decided_by, note FROM approvals ORDER BY id") == [
        ("refused", "ada@fleet.example", "not yet"),
        ("approved", "ada@fleet.example", None),
    ]


def _decide(page: Page, guarded: Guarded, first: object, second: object) -> None:
    sign_in(page, guarded, "ada")
    expect(page.get_by_text("Close 2020-01 into bills")).to_be_visible()
    press(page, f"refuse-{first}")
    page.get_by_role("textbox", name="Note (optional)").fill("not yet")
    press(page, f"confirm-refuse-{first}")
    expect(page.get_by_text("Close 2020-01 into bills")).to_have_count(0)
    press(page, f"approve-{second}")
    press(page, f"confirm-approve-{second}")
    expect(page.get_by_text("Close 2020-02 into bills")).to_have_count(0)


def test_a_token_is_shown_once_and_revoked(page: Page, site: Site) -> None:
    visit(page, site, "health")
    press(page, "create-token")
    page.get_by_role("textbox", name="Name").fill("portal")
    page.keyboard.press("Tab")
    press(page, "confirm-create-token")
    code = page.locator("code", has_text="fleetmeter_")
    expect(code).to_be_visible()
    bearer = {"Authorization": f"Bearer {code.inner_text()}"}
    assert page.request.get(f"{site.address}/api/v1/projects", headers=bearer).status == 200
    visit(page, site, "health")
    expect(page.locator("code", has_text="fleetmeter_")).to_have_count(0)
    press(page, "revoke-token")
    press(page, "confirm-revoke-token")
    until(lambda: site.scalar("SELECT revoked_at IS NOT NULL FROM tokens"), pause=0.2)
    assert page.request.get(f"{site.address}/api/v1/projects", headers=bearer).status == 401
    assert site.rows("SELECT action FROM audit_log WHERE subject LIKE 'token %' ORDER BY id") == [
        ("create token",),
        ("revoke token",),
    ]
