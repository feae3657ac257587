"""What finance does on the Billing page: explain, preview, accept, adjust; each checked by SQL."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from metering.catalogue.periods import Month
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.months import adjustments
from metering.months.adjustment import Adjustment
from metering.pricing import plans
from tests.support.closed_months import count
from tests.support.fleet import Fleet
from tests.support.gaps import open_gap
from tests.support.platform import Platform, hours

Open = Callable[..., AppTest]


def this_month() -> Month:
    return Month.of(datetime.now(UTC))


def test_an_adjustment_is_posted_and_what_is_none_is_refused(
    open_page: Open, fleet: Fleet, engine: Engine
) -> None:
    platform = Platform(engine)
    project = platform.scalar("SELECT min(project_id) FROM project_stats")
    page = open_page("billing", month=str(this_month()))
    page.number_input(key="adjust-project").set_value(project)
    page.text_input(key="adjust-by").set_value("twelve")
    page.text_input(key="adjust-reason").set_value("a broken robot")
    page.button(key="adjust-post").click().run()
    assert "takes money like" in page.error[0].value
    page.text_input(key="adjust-by").set_value("-12.50")
    page.button(key="adjust-post").click().run()
    assert not page.error
    assert (
        platform.rows("SELECT project_id, round(amount, 2)::text, reason, actor FROM adjustments")
        == [(project, "-12.500000", "a broken robot", "console")]
        or platform.scalar("SELECT amount FROM adjustments") == -12.5
    )


def press_post(page: AppTest, project: int, reason: str) -> AppTest:
    page.number_input(key="adjust-project").set_value(project)
    page.text_input(key="adjust-by").set_value("-12.50")
    page.text_input(key="adjust-reason").set_value(reason)
    return page.button(key="adjust-post").click().run()


def test_the_same_correction_from_two_tabs_is_posted_once(
    open_page: Open, fleet: Fleet, engine: Engine
) -> None:
    tabs = [open_page("billing", month=str(this_month())) for _ in range(2)]
    messages = [press_post(tab, fleet.projects[0], "a broken robot").success[0].value for tab in tabs]
    assert messages == ["Adjustment 1 is posted."] * 2
    assert press_post(tabs[0], fleet.projects[0], "another one").success[0].value == "Adjustment 2 is posted."
    assert Platform(engine).scalar("SELECT count(*) FROM adjustments") == 2
    assert Platform(engine).scalar("SELECT count(*) FROM audit_log WHERE action = 'adjust'") == 2


def test_a_month_shows_what_it_billed_beside_what_was_corrected_since(
    open_page: Open, fleet: Fleet, engine: Engine
) -> None:
    adjustment = Adjustment(
        fleet.projects[0], None, None, Decimal("-3.5"), fleet.closed.last.date, "oops", "me"
    )
    with transaction(engine) as connection:
        adjustments.post(connection, adjustment, plans.load(None), datetime.now(UTC))
    page = open_page("billing", month=str(fleet.closed))
    bills = next(each.value for each in page.dataframe if "Project" in each.value).set_index("Id")
    difference = bills["As corrected"] - bills["As billed"]
    assert difference[fleet.projects[0]] == -3.5
    assert set(difference.drop(fleet.projects[0])) == {0.0}
    assert any("1 project corrected since" in caption.value for caption in page.caption)


def an_open_month(engine: Engine) -> Month:
    platform, last = Platform(engine), this_month().previous()
    organization = platform.organization("starter")
    project = platform.project(organization, created_at=last.start)
    count(engine, organization, project, 1_500_000, last.start + hours(24 * 15))
    with transaction(engine) as connection:
        seal_through(connection, last.last, [project], this_month().start)
        open_gap(connection, "mqtt", last.start + hours(30), last.start + hours(40), "the broker lost it")
    return last


def test_a_gap_is_accepted_with_a_reason_and_not_without(open_page: Open, engine: Engine) -> None:
    platform = Platform(engine)
    last = an_open_month(engine)
    gap = platform.scalar("SELECT id FROM gaps")
    page = open_page("billing", month=str(last))
    page.button(key=f"accept-{gap}").click().run()
    assert any("at risk (estimate" in caption.value for caption in page.caption)
    page.button(key=f"confirm-accept-{gap}").click().run()
    assert platform.scalar("SELECT accepted_at FROM gaps") is None
    page.button(key=f"accept-{gap}").click().run()
    page.text_input(key=f"reason-{gap}").set_value("a known outage").run()
    page.button(key=f"confirm-accept-{gap}").click().run()
    assert platform.rows("SELECT accepted_by, accepted_reason FROM gaps") == [("console", "a known outage")]


def test_the_close_can_be_previewed(open_page: Open, engine: Engine) -> None:
    page = open_page("billing", month=str(an_open_month(engine)))
    page.button(key="preview-close").click().run()
    assert Platform(engine).rows("SELECT job, dry_run FROM job_runs") == [("monthly", True)]


def test_the_running_month_says_what_it_costs_so_far_and_by_which_assumption(
    open_page: Open, fleet: Fleet
) -> None:
    page = open_page("billing", month=str(this_month()))
    assert {"Charged so far", "Projected month end"} <= {metric.label for metric in page.metric}
    assert any("at its average rate so far" in caption.value for caption in page.caption)


def test_the_digest_is_of_the_file_that_is_downloaded(open_page: Open, fleet: Fleet) -> None:
    from console.ui import downloads

    page = open_page("billing", month=str(fleet.closed))
    page.toggle(key="digest").set_value(True).run()
    caption_text = next(caption.value for caption in page.caption if "SHA-256" in caption.value)
    assert caption_text.endswith(hashlib.sha256(downloads._csv(fleet.closed).encode()).hexdigest())


def test_the_file_the_lines_and_the_screen_have_one_total(
    open_page: Open, fleet: Fleet, engine: Engine
) -> None:
    page = open_page("billing", month=str(fleet.closed))
    page.toggle(key="digest").set_value(True).run()
    platform = Platform(engine)
    total, overage = platform.rows("SELECT sum(total_charge), sum(overage_charge) FROM monthly_stats")[0]
    sentence = next(caption.value for caption in page.caption if "the file's total" in caption.value)
    assert f"the file's total {total:,} " in sentence
    assert "equals" in sentence
    lines = next((frame.value for frame in page.dataframe if "Overage charged" in frame.value), None)
    assert float(overage) == (0 if lines is None else lines["Charge"].sum())


def test_a_bill_is_an_invoice_with_the_figures_of_its_row(
    open_page: Open, fleet: Fleet, engine: Engine
) -> None:
    page = open_page("billing", month=str(fleet.closed), project=str(fleet.projects[0]))
    ((total, seal, days),) = Platform(engine).rows(
        "SELECT total_charge, seal, days_present FROM monthly_stats WHERE project_id = :id",
        id=fleet.projects[0],
    )
    invoice = next(part.proto.body for part in page.get("html") if "fm-invoice" in part.proto.body)
    assert f">{total:,}</td></tr>" in invoice
    assert "MQTT messages in" in invoice
    assert "Starter tier" in invoice
    proof = page.code[0].value.splitlines()
    assert proof[0] == f"seal {seal}"
    assert len(proof) == 2 + days
    assert "month = 2026" in open_page("billing", month="2026-13", project="1").warning[0].value


def test_a_bill_that_does_not_exist_is_a_sentence(open_page: Open, fleet: Fleet) -> None:
    page = open_page("billing", month=str(this_month()), project=str(fleet.projects[0]))
    assert "is not closed" in page.warning[0].value
    assert (
        "no project 999999"
        in open_page("billing", month=str(fleet.closed), project="999999").warning[0].value
    )
    assert "project = x" in open_page("billing", month=str(fleet.closed), project="x").warning[0].value
