"""Text from outside is shown as text: no terminal executes it, no reader is misled by it."""

import io
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from fleetmeter.cli.terminal import TerminalConsole
from metering.logs import escape_event
from metering.printable import one_line, printable

HOSTILE = "\x1b[2J\x1b]0;title\x07 caf\u00e9 \u202egnp.exe\u2066\r\n\x9b31m \U0001f916 \ud800"


@given(st.text())
def test_nothing_that_acts_on_a_terminal_is_left(text: str) -> None:
    for escaped, allowed in ((printable(text), "\t\n"), (one_line(text), "")):
        assert not [
            char for char in escaped if unicodedata.category(char) in ("Cc", "Cs") and char not in allowed
        ]
        assert not {unicodedata.bidirectional(char) for char in escaped} & {
            *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
        }
        escaped.encode()


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"))))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert one_line(text) == text


def test_a_console_escapes_lines_and_cells() -> None:
    console = TerminalConsole(file=io.StringIO(), width=300, force_terminal=True, emoji=False)
    console.print_line(f"name {HOSTILE} :bomb: [red]")
    table = Table("project")
    table.add_row(HOSTILE)
    console.print(table)
    output = Text.from_ansi(console.file.getvalue()).plain  # type: ignore[attr-defined]
    assert "\\x1b[2J" in output
    assert "\\u202egnp.exe" in output
    assert "caf\u00e9" in output
    assert ":bomb: [red]" in output
    assert "\x1b[2J" not in console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b]0" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_log_event_is_one_line() -> None:
    event = {"event": HOSTILE, "reason": ValueError("\x1b[31m\nfaked line"), "messages": 3, "gone": None}
    escaped = escape_event(None, "info", event)
    assert escaped["reason"] == "\\x1b[31m\\nfaked line"
    assert "\n" not in escaped["event"]
    assert (escaped["messages"], escaped["gone"]) == (3, None)
