"""Every page on a real database: what it says, what it asks for, what it refuses."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Engine, text
from streamlit.testing.v1 import AppTest

from console.data.queries import fleet as fleet_queries
from console.pages import TITLES
from metering.catalogue import projects
from metering.catalogue.periods import Day, Month
from metering.days import completeness
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.ledger.mqtt import MalformedTopics, MqttUsage, add_mqtt
from metering.pricing import plans
from tests.support.fleet import Fleet, fill
from tests.support.gaps import open_gap
from tests.support.platform import Platform

Open = Callable[..., AppTest]
PAGES = tuple(TITLES)


def text_of(page: AppTest) -> str:
    """Everything the page says in words."""
    kinds = (page.markdown, page.caption, page.error, page.warning, page.info, page.success, page.title)
    words = [element.value for kind in (*kinds, page.subheader) for element in kind]
    words += [str(element.proto.body) for element in page.get("html")]  # type: ignore[attr-defined]
    return "\n".join([*words, *(str(element.value) for element in page.metric)])


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_without_an_error(name: str, open_page: Open, fleet: Fleet) -> None:
    page = open_page(name)
    assert not page.exception
    assert page.title[0].value == TITLES[name][0]
    assert not [error for error in page.error if "could not be shown" in error.value]
    assert "Data as of" in text_of(page)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_an_empty_platform_says_why_it_is_empty(name: str, open_page: Open) -> None:
    page = open_page(name)
    assert not page.exception
    assert not [error for error in page.error if "could not be shown" in error.value]
    assert "unknown" not in [metric.value for metric in page.metric] or page.info


@pytest.mark.parametrize("name", PAGES)
def test_a_database_that_is_away_is_one_sentence_and_a_retry(
    name: str, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:hidden-word@127.0.0.1:1/nothing")
    page = open_page(name)
    assert not page.exception
    assert len(page.error) == 1
    assert "cannot be reached" in page.error[0].value
    assert "Reference" in page.error[0].value
    assert "hidden-word" not in page.error[0].value
    assert {button.label for button in page.button} - {"Read again"} == {"Refresh", "Try again"}


def test_trying_again_shows_the_page_once_the_database_is_back(
    open_page: Open, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    page = open_page("overview")
    monkeypatch.setenv("DATABASE_URL", engine.url.render_as_string(hide_password=False))
    (again,) = [button for button in page.button if button.label == "Try again"]
    again.click().run()
    assert page.title[0].value == "Overview"
    assert not any("cannot be reached" in error.value for error in page.error)


def test_a_database_that_is_not_migrated_names_the_command(
    open_page: Open, empty_url: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_url.render_as_string(hide_password=False))  # type: ignore[attr-defined]
    page = open_page("overview")
    assert "fleetmeter migrate" in page.error[0].value


class TestOverview:
    def test_lists_what_is_not_all_right(self, open_page: Open, fleet: Fleet) -> None:
        page = open_page("overview")
        page_text = text_of(page)
        assert "No job runner is alive" in page_text
        if fleet.missing:
            assert f"{len(fleet.missing)} daily snapshots missing in 1 project" in page_text

    def test_is_green_when_all_is_well(self, open_page: Open, engine: Engine) -> None:
        fill(engine, quiet=True)
        Platform(engine).sql("INSERT INTO workers (name, role, host, pid) VALUES ('w', 'runner', 'h', 1)")
        page = open_page("overview")
        assert not page.error
        assert "All is well" in page.success[0].value

    def test_a_source_that_was_never_measured_is_unknown_not_zero(
        self, open_page: Open, fleet: Fleet
    ) -> None:
        page = open_page("overview")
        values = {metric.label: metric.value for metric in page.metric}
        assert values["API calls, last sealed day"] == "unknown"
        assert values["Storage now"] == "unknown"

    def test_the_last_day_is_the_sum_of_what_is_sealed(
        self, open_page: Open, fleet: Fleet, engine: Engine
    ) -> None:
        page = open_page("overview")
        page.session_state["trend"] = "Table"
        table = page.run().dataframe[0].value
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        expected = Platform(engine).scalar(
            "SELECT sum(mqtt_inbound)::bigint FROM daily_stats WHERE date = :day", day=yesterday
        )
        messages = table[table["Day"] == yesterday]["Messages in"].iloc[0]
        assert messages == expected

    def test_a_day_that_some_projects_miss_does_not_look_like_a_fall(
        self, open_page: Open, fleet: Fleet, engine: Engine
    ) -> None:
        from console.data.queries import fleet as queries
        from console.views.overview import page as overview

        last = Day.of(datetime.now(UTC)).previous()
        with engine.connect() as connection:
            days = completeness.read(connection, last, last, datetime.now(UTC))
            trend = queries.trend(connection, days)
        lacking = {last.date}
        assert overview._whole(trend, lacking)[0]["messages"] == trend[0]["messages"] > 0
        fewer = [{**trend[0], "projects": trend[0]["projects"] - 1}]
        assert overview._whole([*trend, *fewer], lacking)[1]["messages"] is None
        assert overview._whole([*trend, *fewer], set())[1]["messages"] == trend[0]["messages"]

    def test_a_failed_run_is_a_problem_until_the_same_run_succeeds(
        self, open_page: Open, fleet: Fleet, engine: Engine
    ) -> None:
        failed = """INSERT INTO job_runs (job, period, at, trigger, requested_by, state, finished_at)
            VALUES ('daily', '2026-01-01', now(), 'manual', 'me', :state, now())"""
        Platform(engine).sql(failed, state="failed")
        assert "1 job run failed" in text_of(open_page("overview"))
        Platform(engine).sql(failed, state="succeeded")
        assert "1 job run failed" not in text_of(open_page("overview"))


class TestProject:
    def test_opens_the_project_of_the_address(self, open_page: Open, fleet: Fleet) -> None:
        page = open_page("project", project=str(fleet.projects[2]))
        assert page.selectbox(key="project").value == fleet.projects[2]
        values = {metric.label: metric.value for metric in page.metric}
        assert values["Log entries"] == "unknown"
        assert values["S3 storage"] == "unknown"

    @pytest.mark.parametrize("bad", ["abc", "-1", "99999999999999999999", "1e3", "٣", "424242"])
    def test_names_an_id_that_is_none(self, bad: str, open_page: Open, fleet: Fleet) -> None:
        page = open_page("project", project=bad)
        assert not page.exception
        assert "the id of a project" in page.warning[0].value

    @pytest.mark.parametrize(("name", "bad"), [("days", "31"), ("meter", "cheese")])
    def test_names_a_wrong_range_or_meter(self, name: str, bad: str, open_page: Open, fleet: Fleet) -> None:
        page = open_page("project", **{name: bad})
        assert bad in page.warning[0].value

    def test_missing_days_are_gaps_not_zeros(self, open_page: Open, fleet: Fleet) -> None:
        if not fleet.missing:
            pytest.skip("too early in the month for missing days")
        page = open_page("project", project=str(fleet.projects[-1]))
        table = next(
            frame.value for frame in page.dataframe if {"MQTT messages in", "Day"} <= set(frame.value)
        )
        for day in fleet.missing:
            assert table[table["Day"] == day.date]["MQTT messages in"].isna().all()
        assert f"{len(fleet.missing)} days missing" in text_of(page)

    def test_coverage_tells_measured_from_never_started(self, open_page: Open, fleet: Fleet) -> None:
        page = open_page("project", project=str(fleet.projects[-1]))
        table = next(frame.value for frame in page.dataframe if {"Day", "MQTT"} <= set(frame.value))
        states = set(table["MQTT"])
        assert "● measured" in states
        assert ("○ not sealed" in states) == bool(fleet.missing)
        assert set(table["Platform database"]) <= {"– not started", "○ not sealed", "– not expected"}

    def test_hours_add_up_to_their_day(self, open_page: Open, fleet: Fleet, engine: Engine) -> None:
        yesterday = Day.of(datetime.now(UTC)).previous()
        page = open_page("project", project=str(fleet.projects[0]))
        page.date_input(key="day").set_value(yesterday.date).run()
        table = next(frame.value for frame in page.dataframe if "Hour (UTC)" in frame.value)
        day = "SELECT mqtt_inbound FROM daily_stats WHERE project_id = :id AND date = :date"
        expected = Platform(engine).scalar(day, id=fleet.projects[0], date=yesterday.date)
        assert table["MQTT messages in"].sum() == expected

    def test_each_hour_says_how_well_it_was_measured(self, open_page: Open, fleet: Fleet) -> None:
        page = open_page("project", project=str(fleet.projects[0]))
        page.date_input(key="day").set_value(Day.of(datetime.now(UTC)).previous().date).run()
        table = next(
            frame.value for frame in page.dataframe if {"Hour (UTC)", "MQTT", "Why"} <= set(frame.value)
        )
        assert len(table) == 24
        assert set(table["Platform database"]) == {"– not started"}
        assert set(table["S3"]) == {"– not configured"}

    def test_a_level_of_an_earlier_day_says_how_old_it_is(
        self, open_page: Open, fleet: Fleet, engine: Engine
    ) -> None:
        Platform(engine).sql(
            """UPDATE project_stats SET total_s3_storage_bytes = 5, total_docker_storage_bytes = 7,
                s3_measured_at = now() - interval '20 days', ecr_measured_at = now()
                WHERE project_id = :id""",
            id=fleet.projects[0],
        )
        page = open_page("project", project=str(fleet.projects[0]))
        deltas = {metric.label: metric.delta for metric in page.metric}
        assert "20 days ago" in deltas["S3 storage"]
        assert not deltas["Docker storage"]
        assert not deltas["Devices"]

    def test_the_tab_and_its_day_are_in_the_address(self, open_page: Open, fleet: Fleet) -> None:
        day = str(Day.of(datetime.now(UTC)).previous())
        page = open_page("project", project=str(fleet.projects[0]), tab="hours", day=day)
        assert page.session_state["tab"] == "Hours of a day"
        assert (page.query_params["tab"], page.query_params["day"]) == ("hours", day)
        page = open_page("project", project=str(fleet.projects[0]), tab="cheese")
        assert "tab = cheese" in text_of(page)

    def test_the_busiest_devices_stand_beside_the_rest(
        self, open_page: Open, fleet: Fleet, engine: Engine
    ) -> None:
        project = fleet.projects[0]
        day = Day.of(datetime.now(UTC)).previous().date
        Platform(engine).sql(
            """INSERT INTO device_usage_daily (project_id, date, device, mqtt_inbound)
            VALUES (:project, :day, 'arm-3', 2)""",
            project=project,
            day=day,
        )
        page = open_page("project", project=str(project))
        (devices,) = [one.value for one in page.dataframe if "Device" in one.value.columns]
        assert list(devices["Device"]) == ["arm-3"]
        assert list(devices["Messages, at least"]) == [2]
        assert "The rest, other devices among it" in text_of(page)

    def test_choosing_puts_the_project_into_the_address(self, open_page: Open, fleet: Fleet) -> None:
        page = open_page("project")
        page.selectbox(key="project").set_value(fleet.projects[1]).run()
        assert page.query_params["project"] in (str(fleet.projects[1]), [str(fleet.projects[1])])

    def test_an_address_from_before_a_choice_does_not_undo_it(self, open_page: Open, fleet: Fleet) -> None:
        old, new = (str(number) for number in fleet.projects[:2])
        page = open_page("project", project=old)
        page.selectbox(key="project").set_value(int(new)).run()
        page.query_params["project"] = old  # sent along by a live part, before the browser had the new one
        page.run()
        assert page.selectbox(key="project").value == int(new)
        page.run()  # now the browser shows it
        page.query_params["project"] = old  # and somebody goes elsewhere
        page.run()
        assert page.selectbox(key="project").value == int(old)


class TestSnapshots:
    def test_one_click_asks_for_the_missing_days(self, open_page: Open, fleet: Fleet, engine: Engine) -> None:
        if not fleet.missing:
            pytest.skip("too early in the month for missing days")
        page = open_page("snapshots")
        page.button(key="backfill").click().run()
        (run,) = Platform(engine).rows("SELECT job, period, arguments, state, requested_by FROM job_runs")
        first, last = str(min(fleet.missing)), str(max(fleet.missing))
        assert run.job == "backfill"
        assert run.arguments == {"from": first, "to": last}
        assert run.period == f"{first}..{last}"
        assert "Queued" in text_of(page)

    def test_two_clicks_are_one_run(self, open_page: Open, fleet: Fleet, engine: Engine) -> None:
        if not fleet.missing:
            pytest.skip("too early in the month for missing days")
        page = open_page("snapshots")
        page.button(key="backfill").click().run()
        # Done already, and asked for just now however long a loaded machine takes to draw the page.
        Platform(engine).sql(
            """UPDATE job_runs SET state = 'succeeded', finished_at = now(), result = '{}',
                created_at = now() + interval '1 minute'"""
        )
        page.button(key="backfill").click().run()
        assert Platform(engine).scalar("SELECT count(*) FROM job_runs") == 1

    @pytest.mark.parametrize("bad", ["2026-13-01", "yesterday", "9999-01-01"])
    def test_names_a_day_that_is_none(self, bad: str, open_page: Open, fleet: Fleet) -> None:
        page = open_page("snapshots", **{"from": bad})
        assert "a day up to" in page.warning[0].value

    def test_says_so_when_nothing_is_missing(self, open_page: Open, fleet: Fleet) -> None:
        yesterday = str(Day.of(datetime.now(UTC)).previous())
        page = open_page("snapshots", **{"from": yesterday, "to": yesterday})
        assert "No day is missing" in page.success[0].value


class TestJobs:
    @pytest.mark.parametrize("job", ["hourly", "daily", "monthly"])
    def test_a_job_is_asked_for_after_a_confirmation(
        self, job: str, open_page: Open, fleet: Fleet, engine: Engine
    ) -> None:
        page = open_page("jobs")
        page.button(key=f"run-{job}").click().run()
        assert Platform(engine).scalar("SELECT count(*) FROM job_runs") == 0
        page.button(key=f"confirm-run-{job}").click().run()
        runs = Platform(engine).rows("SELECT job, state, trigger FROM job_runs")
        assert [(run.job, run.state) for run in runs] == [(job, "queued")]

    def test_not_now_asks_for_nothing(self, open_page: Open, fleet: Fleet, engine: Engine) -> None:
        page = open_page("jobs")
        page.button(key="run-daily").click().run()
        page.button(key="dismiss-run-daily").click().run()
        assert Platform(engine).scalar("SELECT count(*) FROM job_runs") == 0
        assert not [button for button in page.button if button.key == "confirm-run-daily"]

    def test_a_waiting_run_can_be_cancelled(self, open_page: Open, fleet: Fleet, engine: Engine) -> None:
        run = self._run(engine, "queued")
        page = open_page("jobs")
        page.button(key=f"cancel-{run}").click().run()
        assert Platform(engine).scalar("SELECT state FROM job_runs WHERE id = :id", id=run) == "cancelled"

    def test_a_failed_run_can_be_tried_again(self, open_page: Open, fleet: Fleet, engine: Engine) -> None:
        run = self._run(engine, "failed", finished=True)
        page = open_page("jobs")
        page.button(key=f"retry-{run}").click().run()
        states = [row.state for row in Platform(engine).rows("SELECT state FROM job_runs ORDER BY id")]
        assert states == ["failed", "queued"]

    def test_history_is_filtered_by_the_state_of_the_address(
        self, open_page: Open, fleet: Fleet, engine: Engine
    ) -> None:
        self._run(engine, "failed", finished=True)
        cancelled = self._run(engine, "cancelled", finished=True, job="hourly")
        page = open_page("jobs", state="cancelled")
        assert list(page.dataframe[0].value["Run"]) == [cancelled]

    def test_history_is_filtered_by_what_was_left_out(
        self, open_page: Open, fleet: Fleet, engine: Engine
    ) -> None:
        self._run(engine, "succeeded", finished=True)
        blocked = '{"blocked": {"7 in 2026-01": "a gap"}}'
        endings = (
            ('[{"error": "denied"}]', None),
            ("[]", blocked),
            ("[]", f'{{"projects": {{"7": {blocked}}}}}'),
        )
        incomplete = [self._run(engine, "succeeded", finished=True, job="monthly") for _ in endings]
        update = """UPDATE job_runs SET errors = CAST(:errors AS jsonb), result = CAST(:result AS jsonb)
            WHERE id = :id"""
        for run, (errors, result) in zip(incomplete, endings, strict=True):
            Platform(engine).sql(update, errors=errors, result=result, id=run)
        page = open_page("jobs", state="left_out")
        assert list(page.dataframe[0].value["Run"]) == incomplete[::-1]
        assert {state.split(", ")[1] for state in page.dataframe[0].value["State"]} == {"1 left out"}

    def test_names_a_state_that_is_none(self, open_page: Open, fleet: Fleet) -> None:
        assert "exploded" in open_page("jobs", state="exploded").warning[0].value

    @staticmethod
    def _run(engine: Engine, state: str, finished: bool = False, job: str = "daily") -> int:
        with engine.begin() as connection:
            return int(
                connection.scalar(
                    text("""INSERT INTO job_runs (job, period, at, trigger, requested_by, state, finished_at)
                        VALUES (:job, '2026-01-01', now(), 'manual', 'me', :state,
                            CASE WHEN :finished THEN now() END) RETURNING id"""),
                    {"job": job, "state": state, "finished": finished},
                )
                or 0
            )


class TestBilling:
    def test_the_closed_month_adds_up_to_its_bills(
        self, open_page: Open, fleet: Fleet, engine: Engine
    ) -> None:
        page = open_page("billing", month=str(fleet.closed))
        total = Platform(engine).scalar("SELECT sum(total_charge) FROM monthly_stats")
        values = {metric.label: metric.value for metric in page.metric}
        assert values["Total"] == f"{total:,} USD"
        bills = next(each.value for each in page.dataframe if "Project" in each.value)
        assert len(bills) == len(fleet.projects)
        assert round(sum(bills["As billed"]), 2) == float(total)

    def test_the_download_has_the_rows_of_the_table(self, open_page: Open, fleet: Fleet) -> None:
        from console.ui import downloads

        page = open_page("billing", month=str(fleet.closed))
        rows = list(csv.DictReader(io.StringIO(downloads._csv(fleet.closed))))
        bills = next(each.value for each in page.dataframe if "Project" in each.value)
        assert {int(row["project_id"]) for row in rows} == set(bills["Id"])
        assert {row["total_charge"] for row in rows} == {f"{value:.2f}" for value in bills["As billed"]}
        assert not [row for row in rows if row["project_name"].startswith("=")]

    def test_an_open_month_is_closed_after_a_confirmation(
        self, open_page: Open, fleet: Fleet, engine: Engine
    ) -> None:
        platform = Platform(engine)
        late = platform.project(created_at=fleet.closed.start.isoformat(), name="late")
        with engine.begin() as connection:
            projects.ensure(connection, [late], fleet.closed.last.start)
            seal_through(connection, fleet.closed.last, [late], datetime.now(UTC))
        page = open_page("billing", month=str(fleet.closed))
        assert "1 project not billed yet" in text_of(page)
        page.button(key="close").click().run()
        page.button(key="confirm-close").click().run()
        runs = platform.rows("SELECT job, period, state FROM job_runs")
        assert [tuple(run) for run in runs] == [("monthly", str(fleet.closed), "queued")]

    def test_a_running_month_is_said_to_run(self, open_page: Open, fleet: Fleet) -> None:
        page = open_page("billing", month=str(Month.of(datetime.now(UTC))))
        assert "Ends" in text_of(page)
        assert not [button for button in page.button if button.key == "close"]

    @pytest.mark.parametrize("bad", ["2026-13", "1999-01", "soon"])
    def test_names_a_month_that_is_none(self, bad: str, open_page: Open, fleet: Fleet) -> None:
        assert "a month" in open_page("billing", month=bad).warning[0].value


class TestHealth:
    def test_shows_who_is_alive_and_who_is_gone(self, open_page: Open, fleet: Fleet, engine: Engine) -> None:
        Platform(engine).sql("""INSERT INTO workers (name, role, host, pid, last_seen_at) VALUES
            ('here', 'runner', 'h', 1, now()), ('lost', 'runner', 'h', 2, now() - interval '1 hour')""")
        table = open_page("health").dataframe[0].value.set_index("Name")
        assert table.loc["here", "State"] == ["● alive"]
        assert table.loc["lost", "State"] == ["– ended"]  # another one works in its place

    def test_a_source_never_measured_is_not_called_fresh(self, open_page: Open, fleet: Fleet) -> None:
        table = open_page("health").dataframe[1].value.set_index("Source")
        assert table.loc["MQTT", "State"] == ["● fresh"]
        assert table.loc["S3", "State"] == ["– never measured"]

    def test_a_project_that_a_source_refuses_is_named_with_what_was_said_and_an_inactive_one_is_not(
        self, open_page: Open, fleet: Fleet, engine: Engine
    ) -> None:
        platform = Platform(engine)
        platform.sql("UPDATE project_stats SET s3_measured_at = now()")
        platform.sql(
            "UPDATE project_stats SET s3_measured_at = now() - interval '3 h' WHERE project_id = ANY(:ids)",
            ids=list(fleet.projects[:2]),
        )
        platform.deactivate(fleet.projects[1], datetime.now(UTC))
        platform.sql(
            """INSERT INTO job_runs (job, period, at, trigger, requested_by, state, finished_at, errors)
            VALUES ('hourly', 'p', now(), 'schedule', 'schedule', 'succeeded', now(), jsonb_build_array(
                jsonb_build_object('source', 's3', 'project_id', 7, 'error', 's3: access denied')))"""
        )
        page = open_page("health")
        assert "S3 could not be read for 1 project" in text_of(page)
        row = page.dataframe[1].value.set_index("Source").loc["S3"]
        assert (row["State"], row["Projects"]) == (["◐ 1 project behind"], len(fleet.projects) - 1)
        assert "S3: the last refresh said: project 7: s3: access denied" in text_of(page).replace("\\", "")

    def test_lists_messages_without_a_project(self, open_page: Open, fleet: Fleet, engine: Engine) -> None:
        with engine.begin() as connection:
            add_mqtt(connection, {}, datetime.now(UTC), MalformedTopics(7, ["a/<b>/c"]))
        table = open_page("health").dataframe[-1].value
        assert list(table["Messages"]) == [7]

    def test_shows_an_open_gap_until_it_is_accepted(
        self, open_page: Open, fleet: Fleet, engine: Engine
    ) -> None:
        with engine.begin() as connection:
            now = datetime.now(UTC)
            open_gap(connection, "mqtt", now - timedelta(hours=2), now, "broker lost the session")
        assert "Gaps in counting" in text_of(open_page("health"))
        Platform(engine).sql("UPDATE gaps SET accepted_at = now(), accepted_by = 'me'")
        assert "Gaps in counting" not in text_of(open_page("health"))


class TestLimits:
    def test_lists_who_is_over(self, open_page: Open, fleet: Fleet, engine: Engine) -> None:
        included = plans.load(None).in_force(datetime.now(UTC).date()).tier("starter").meters["mqtt_inbound"]
        Platform(engine).sql(
            "UPDATE project_stats SET mqtt_inbound = :used WHERE project_id = :id",
            used=included.included + 1,
            id=fleet.projects[0],
        )
        page = open_page("limits", share="100")
        table = page.dataframe[0].value
        assert list(table["Id"]) == [fleet.projects[0]]
        assert [list(state) for state in table["State"]] == [["▲ over"]]

    def test_says_so_when_nobody_is_near(self, open_page: Open, fleet: Fleet) -> None:
        assert "Nobody has used 100%" in open_page("limits", share="100").success[0].value

    def test_a_month_that_is_not_closed_does_not_count_against_the_running_one(
        self, open_page: Open, engine: Engine
    ) -> None:
        at = datetime.now(UTC)
        platform = Platform(engine)
        month = Month.of(at).previous()
        organization = platform.organization("free")
        project = platform.project(organization, created_at=month.start.isoformat())
        used = MqttUsage(10**9, 0, 1, 0, "t")
        with engine.begin() as connection:
            add_mqtt(connection, {(organization, project): used}, month.start)
            seal_through(connection, Day.of(at).previous(), [project], at)
        assert "MQTT messages in" not in str(open_page("limits").dataframe)
        assert "Nobody has used" in text_of(open_page("limits"))

    def test_names_a_share_that_is_none(self, open_page: Open, fleet: Fleet) -> None:
        assert "one of 0, 50, 80, 100" in open_page("limits", share="81").warning[0].value


def test_no_page_leaves_a_transaction_open(open_page: Open, fleet: Fleet, engine: Engine) -> None:
    for name in PAGES:
        open_page(name)
    with transaction(engine) as connection:
        idle = connection.scalar(
            text("""SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND state LIKE 'idle in transaction%'""")
        )
    assert idle == 0


def test_a_preview_is_named_as_one_and_can_be_hidden(
    open_page: Open, fleet: Fleet, platform: Platform
) -> None:
    platform.sql("""
        INSERT INTO job_runs (job, period, at, trigger, requested_by, state, dry_run, result, finished_at)
        VALUES ('backfill', '2026-11-01..2026-11-03', now(), 'console', 'ann', 'succeeded', true,
            '{"days_sealed": 3}', now())""")
    history = open_page("jobs").dataframe[-1].value
    (row,) = history[history["Period"] == "2026-11-01..2026-11-03"].to_dict("records")
    assert row["State"] == "Preview"
    assert row["Result"] == "Preview, nothing was changed: would seal 3 days"
    hidden = open_page("jobs", previews="hidden")
    assert not any("2026-11-01..2026-11-03" in frame.value.to_csv() for frame in hidden.dataframe)


def test_changes_are_of_the_projects_known_on_both_sides(platform: Platform, engine: Engine) -> None:
    """One project left and one is new since the base day: neither makes the fleet grow or shrink."""
    organization = platform.organization()
    stayed, removed, new = (
        platform.project(organization, datetime(2026, 1, 1, tzinfo=UTC)) for _ in range(3)
    )
    last, base = Day(date(2026, 11, 24)), date(2026, 11, 17)
    for day, usage in ((base, {stayed: 100, removed: 900}), (last.date, {stayed: 110, new: 5_000})):
        for project, messages in usage.items():
            platform.sql(
                """INSERT INTO daily_stats (project_id, date, organization_id, year, month, day, mqtt_inbound,
                    storage_bytes, active_device_count, tier, coverage, row_hash)
                VALUES (:project, :day, :organization, 2026, 11, 17, :messages, :messages, 3, 'free',
                    '{"mqtt": {"state": "measured"}, "platform_db": {"state": "measured"}}', '')""",
                **{"project": project, "day": day, "organization": organization, "messages": messages},
            )
    platform.sql("UPDATE projects SET is_active = false WHERE id = :id", id=removed)
    for project, stored in ((stayed, 150), (removed, 900), (new, 7)):
        platform.sql(
            """INSERT INTO project_stats
                (project_id, open_from, updated_at, total_storage_bytes, active_devices)
            VALUES (:id, now(), now(), :stored, 6)""",
            **{"id": project, "stored": stored},
        )
    days = [completeness.SealedDay(base, 2, True), completeness.SealedDay(last.date, 2, True)]
    with transaction(engine) as connection:
        sealed = fleet_queries.changes(connection, days, last, live=False)
        running = fleet_queries.changes(connection, days, last, live=True)
        totals = fleet_queries.totals(connection)
    assert sealed is not None
    assert (sealed.base, sealed.by_figure["messages"]) == (base, pytest.approx(0.1))
    assert running is not None
    assert running.by_figure == {"storage_bytes": pytest.approx(0.5), "active_devices": pytest.approx(1.0)}
    assert (totals["active"], totals["storage_bytes"], totals["active_devices"]) == (2, 157, 12)
