"""Names and words that outsiders choose, hostile ones, on every page: shown as they are, and nothing else."""

import csv
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import text

from console.pages import TITLES
from console.ui import escape
from metering.catalogue.periods import Day, Month
from metering.ledger.mqtt import MqttUsage, add_mqtt
from metering.months import adjustments
from metering.months.adjustment import Adjustment
from metering.pricing import plans
from tests.support.browser_site import Site, choose, listing, open_list, press, tick, visit
from tests.support.drills import later
from tests.support.gaps import open_gap
from tests.support.platform import Platform

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

WORDS = (
    "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>",
    '=HYPERLINK("http://evil.example";"x")|\' /C calc\'!A0',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\u202eevil\u202c مشروع",
    "w" * 5_000,
    "🤖 **bold** _it_ `code` $x^2$ ~~no~~ # h1",
    "[x](javascript:alert(1)) <javascript:alert(1)> http://evil.example",
    ":material/pets: :red[red] :red-background[b] :small[s] :smile:",
    "&lt;b&gt; &amp; &#x3C;script&#x3E; a\nb\rc\td",
    "www.evil.example evil@evil.example :+1: :streamlit: :material_pets: -> <- -- >= <= ~= 12:30:45",
    "| a | b |\n|---|---|\n| {{7*7}} | ${7*7} %s {0} |",
)
FORMULA = re.compile(r"[=+@\t\r]|-(?![\d.])")  # how what a spreadsheet takes for one begins


@pytest.fixture(scope="module")
def hostile(site: Site) -> Site:
    """The site, in which everything that outsiders may name is named so."""
    platform, at = Platform(site.engine), datetime.now(UTC)
    for word in WORDS:
        organization = platform.organization("free", name=word)
        project = platform.project(organization, created_at=site.fleet.closed.start, name=word)
        platform.sql(
            "INSERT INTO devices (project_id, name, created_at) VALUES (:id, :word, now())",
            id=project,
            word=word,
        )
        _spoil(site, organization, project, word, at)
    return site


def _spoil(site: Site, organization: int, project: int, word: str, at: datetime) -> None:
    yesterday = Day.of(at).previous()
    with site.engine.begin() as connection:
        usage = MqttUsage(2_000_000, 10, 5000, 50, word)
        add_mqtt(connection, {(organization, project): usage}, at)
        connection.execute(
            text("""
                INSERT INTO unattributed_messages (hour, reason, messages, sample_topics, updated_at)
                VALUES (date_trunc('hour', CAST(:at AS timestamptz)), :reason, 7, :topics, :at)"""),
            {"at": at, "reason": word[:200], "topics": [word, f"roboticks/{word}/x"]},
        )
        open_gap(connection, "mqtt", site.fleet.closed.start, yesterday.start, word, [project])
        adjustment = Adjustment(project, "logs", 5, None, yesterday.date, word, word)
        adjustments.post(connection, adjustment, plans.load(None), at)
        parameters = {"id": project, "word": word, "date": str(yesterday), "short": word[:60]}
        connection.execute(
            text("""
                INSERT INTO alerts (kind, severity, project_id, subject, detail, opened_at, acknowledged_by)
                VALUES ('limit', 'critical', :id, :word, jsonb_build_object('any', CAST(:word AS text)),
                    now(), NULL),
                ('limit', 'warning', :id, 'held ' || :word, '{}', now(), :word),
                ('anomaly', 'warning', :id, 'anomaly ' || :word, jsonb_build_object('meter', 'mqtt_inbound',
                    'date', :date, 'expected_low', 1, 'expected_high', 2, 'actual', 9,
                    'reason', CAST(:word AS text)), now(), NULL);
                INSERT INTO job_runs (job, period, at, trigger, requested_by, state, finished_at, errors,
                    project_id)
                VALUES ('daily', :short, now(), 'manual', :word, 'dead', now(),
                    jsonb_build_array(jsonb_build_object('error', CAST(:word AS text))), :id);
                INSERT INTO job_runs (job, period, at, trigger, requested_by, progress, next_attempt_at)
                VALUES ('archive', :short, now(), 'manual', :word,
                    jsonb_build_object('what', CAST(:word AS text), 'done', 1, 'total', 2),
                    now() + interval '1 day');
                INSERT INTO workers (name, role, host, pid) VALUES (:word, 'runner', :word, 1)"""),
            parameters,
        )


@pytest.fixture
def watched(page: Page) -> Iterator[Page]:
    """A page on which no dialog may open, and nothing may be fetched from elsewhere."""
    wrong: list[str] = []
    page.on("dialog", lambda dialog: wrong.append(f"dialog {dialog.message}"))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url) if "evil" in request.url else None)
    yield page
    assert wrong == []


def unharmed(page: Page) -> None:
    """Nothing ran, nothing became a link, a picture, bold, a formula, an icon or a colour."""
    assert page.evaluate("() => window.hacked") is None
    for selector in (
        "a[href^='javascript:' i]",
        "a[href*='evil.example']:not([href^='mailto:'])",  # an e-mail address is one, also of an actor
        "img[src='x']",
        ".stMain .katex",
        ".stMain strong:text-is('bold')",
        ".stMain em:text-is('it')",
        ".stMain code:text-is('code')",
        ".stMain span[style]:text-is('red')",
        ".stMain h1:text-is('h1')",
        ".stMain img[alt='Streamlit logo']",
        ".stMain span[data-testid=stIconMaterial]:text-is('pets')",
    ):
        assert page.locator(selector).count() == 0, selector
    words = page.locator("body").inner_text()
    assert "\u202e" not in words
    assert "w" * 500 not in words
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    assert page.get_by_text("could not be shown").count() == 0


def words_of(page: Page, selector: str) -> list[str]:
    """What is read there, on one line each, without the marks that nobody sees."""
    texts = page.locator(selector).all_inner_texts()
    return [" ".join(text.replace(escape.UNSEEN, "").split()) for text in texts]


OTHERS = [
    name
    for name in (*TITLES, "billing?month=running", "limits?share=50")
    if name not in ("project", "billing")
]


@pytest.mark.parametrize("width", [1440, later(390)])
@pytest.mark.parametrize("path", ["project", "billing", "jobs?state=dead", *map(later, OTHERS)])
def test_hostile_words_stay_words_on_every_page(watched: Page, hostile: Site, path: str, width: int) -> None:
    watched.set_viewport_size({"width": width, "height": 900})
    visit(watched, hostile, path.replace("running", str(Month.of(datetime.now(UTC)))))
    unharmed(watched)


@pytest.mark.parametrize(
    "number",
    [0, *map(later, range(1, 11))],
)
def test_a_projects_page_says_its_hostile_name_as_it_is(watched: Page, hostile: Site, number: int) -> None:
    project = hostile.scalar("SELECT id FROM projects WHERE name = :name", name=WORDS[number])
    visit(watched, hostile, f"project?project={project}")
    heading = watched.get_by_role("heading", level=2).first
    assert " ".join(heading.inner_text().split()) == escape.short(WORDS[number])
    selection = watched.get_by_role("combobox", name="Project").input_value()
    assert selection.startswith(escape.short(WORDS[number], 60)[:50])
    unharmed(watched)


@pytest.mark.drill
def test_the_selector_lists_hostile_names_as_they_are(watched: Page, hostile: Site) -> None:
    visit(watched, hostile, "project")
    open_list(watched, "Project", watched.get_by_role("option").first)
    options = "\n".join(watched.get_by_role("option").all_inner_texts())
    for word in (WORDS[0], WORDS[5], WORDS[6]):
        assert escape.short(word, 60)[:50] in options
    unharmed(watched)


def test_an_alert_and_its_question_say_hostile_words_as_they_are(watched: Page, hostile: Site) -> None:
    visit(watched, hostile, "alerts?kind=limit")
    tick(watched, "alerts", row=-1)  # the box in the header: every row
    press(watched, "acknowledge")
    expect(watched.get_by_role("dialog").get_by_role("listitem").first).to_be_visible()
    texts = "\n".join(words_of(watched, "[role=dialog] li"))
    for word in WORDS[-5:]:
        assert escape.short(word)[:50] in texts, word
    unharmed(watched)


def test_a_failed_runs_words_are_shown_as_they_are(watched: Page, hostile: Site) -> None:
    visit(watched, hostile, "jobs")
    choose(watched, "Job that failed", "daily")
    texts = "\n".join(words_of(watched, "[class*=st-key-failed-]"))
    for word in WORDS[-10:]:
        assert escape.short(word)[:70] in texts, word
    waiting = "\n".join(words_of(watched, "[class*=st-key-active-]"))
    for word in WORDS:
        assert escape.short(word)[:70] in waiting, word
    unharmed(watched)


def test_no_table_makes_a_file_with_a_formula_in_it(watched: Page, hostile: Site, tmp_path: Path) -> None:
    tables = {
        "jobs": "Runs, newest first",
        "alerts": "Incidents, open and critical first",
        "health": "Messages without a project",
        "limits": "Meters by how much",
    }
    for key, alt in tables.items():
        visit(watched, hostile, key)
        file = saved(watched, alt, tmp_path / f"{key}.csv")
        rows = list(csv.reader(file.read_text(encoding="utf-8-sig").splitlines()))
        cells = [cell for row in rows for cell in row]
        assert len(rows) > 1
        assert [cell for cell in cells if FORMULA.match(cell)] == [], key
        assert any("=HYPERLINK" in cell for cell in cells), key


def saved(page: Page, alt: str, to: Path) -> Path:
    """The file that the toolbar of that table makes."""
    page.evaluate("() => { window.showSaveFilePicker = undefined }")  # no window to choose a place in
    table = listing(page, alt)
    table.scroll_into_view_if_needed()
    table.hover()
    with page.expect_download() as started:
        page.get_by_role("button", name=f"Download as CSV: {alt}").click()
    started.value.save_as(to)
    return to


def test_the_bills_file_has_no_formula_in_it(watched: Page, hostile: Site, tmp_path: Path) -> None:
    visit(watched, hostile, f"billing?month={hostile.fleet.closed}")
    with watched.expect_download() as started:
        watched.get_by_role("button", name="Download CSV").click()
    started.value.save_as(tmp_path / "bills.csv")
    rows = list(csv.reader((tmp_path / "bills.csv").read_text().splitlines()))
    assert [cell for row in rows for cell in row if FORMULA.match(cell)] == []
