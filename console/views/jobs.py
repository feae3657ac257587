"""Jobs: what runs when, asking for a run now, and what came of the last ones."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import streamlit as st

from console import figures, trouble
from console.asking import ask, cancel, discard, needed, retry
from console.components import history, progress, question
from console.components.head import head
from console.queries import runs
from console.queries.rows import Row
from console.reading import may, reading
from metering.periods import Day, Hour, Month

JOBS = {
    "hourly": ("Hourly refresh", "Reads every source and updates the running totals."),
    "daily": ("Daily snapshot", "Seals the day before for every project."),
    "monthly": ("Monthly close", "Closes the month before into bills."),
}


def show() -> None:
    """The page."""
    with reading() as page:
        latest = runs.latest(page.connection, tuple(JOBS))
        failed = runs.unmended(page.connection, page.at - timedelta(days=30))
    head("Jobs", page.at)
    grid = st.grid("auto", min_column_width=260, row_height=372, key="jobs")
    for row in latest:
        with grid.cell():
            _card(row, page.at)
    progress.follow("jobs")
    _active()
    _failed(failed)
    history.show()


def period(job: str, at: datetime) -> str:
    """The period a run of `job` asked for at `at` works on."""
    periods = {"hourly": Hour.of(at), "daily": Day.of(at).previous(), "monthly": Month.of(at).previous()}
    return str(periods[job])


def due(job: str, at: datetime) -> datetime:
    """When the schedule asks for `job` next after `at`."""
    return {"hourly": Hour.of(at).end, "daily": Day.of(at).end, "monthly": Month.of(at).end}[job]


def _card(row: Row, at: datetime) -> None:
    job = row["job"]
    title, what = JOBS[job]
    with st.container(border=True, height="stretch", key=f"job-{job}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(title, anchor=False, width="stretch")
            if row["state"]:
                progress.badge(row["state"])
            else:
                st.badge("Never ran", color="gray", icon=":material/schedule:")
        st.caption(what)
        st.caption(f"{_last(row, at)} · next {due(job, at):%Y-%m-%d %H:%M} UTC")
        _offer(job, title, at)
        st.metric(
            "Last took",
            figures.duration(row["seconds"][-1]) if row["seconds"] else "—",
            label_visibility="visible",
            chart_data=row["seconds"] if row["seconds"] and len(row["seconds"]) > 1 else None,
            chart_type="bar",
        )


def _offer(job: str, title: str, at: datetime) -> None:
    with st.container(horizontal=True):
        if may(needed(job)):
            question.button("Run now", f"run-{job}", ":material/play_arrow:", width="stretch")
        if may(needed(job, True)) and st.button(
            "Preview", key=f"preview-{job}", icon=":material/visibility:", width="stretch"
        ):
            progress.started("jobs", [ask(job, period(job, at), at, dry_run=True)])
            st.rerun()
    question.ask(f"run-{job}", f"{title} now?", lambda: _explain(job, at), "Run it", lambda: _run(job, at))


def _last(row: Row, at: datetime) -> str:
    if row["id"] is None:
        return "No run yet"
    return f"Last for {row['period']}, {figures.age(row['finished_at'] or row['created_at'], at)}"


def _explain(job: str, at: datetime) -> None:
    st.markdown(f"{JOBS[job][1]} This run works on **{period(job, at)}**, for every project.")
    st.caption("Safe to repeat: what is sealed or closed already stays as it is.")


def _run(job: str, at: datetime) -> None:
    progress.started("jobs", [ask(job, period(job, at), at)])


@st.fragment(run_every=2)
@trouble.guarded
def _active() -> None:
    with reading() as page:
        active = runs.active(page.connection)
    st.subheader("Queued and running", anchor=False)
    if not active:
        st.caption("Nothing waits and nothing runs.")
        return
    for run in active:
        with st.container(horizontal=True, vertical_alignment="center", key=f"active-{run['id']}"):
            with st.container(width="stretch"):
                progress.line(run)
            if may("operator") and st.button("Cancel", key=f"cancel-{run['id']}", icon=":material/close:"):
                cancel(run["id"])
                st.rerun(scope="fragment")
    if st.session_state.get("active-before", 0) > len(active):
        st.session_state["active-before"] = len(active)
        st.rerun()
    st.session_state["active-before"] = len(active)


def _failed(failed: Sequence[Row]) -> None:
    if not failed:
        return
    st.subheader(f"{figures.many(len(failed), 'run')} failed and not made good", anchor=False)
    dead = [run["id"] for run in failed if run["state"] == "dead"]
    with st.container(horizontal=True):
        if (
            len(failed) > 1
            and may("admin")
            and st.button("Retry all", key="retry-all", icon=":material/replay:")
        ):
            progress.started("jobs", [retry(run["id"]) for run in failed])
            st.rerun()
        if (
            dead
            and may("admin")
            and st.button(
                f"Discard {figures.many(len(dead), 'dead letter')}", key="discard", icon=":material/delete:"
            )
        ):
            discard(dead)
            st.rerun()
    for run in failed[:10]:
        with st.container(horizontal=True, vertical_alignment="center", key=f"failed-{run['id']}"):
            with st.container(width="stretch"):
                progress.line(run)
            if may(needed(run["job"], run["dry_run"])) and st.button(
                "Retry", key=f"retry-{run['id']}", icon=":material/replay:"
            ):
                progress.started("jobs", [retry(run["id"])])
                st.rerun()
