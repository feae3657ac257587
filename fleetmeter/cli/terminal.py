"""The consoles that commands print on: text from outside cannot act on the terminal."""

import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from metering.printable import printable


class TerminalConsole(Console):
    """A console that escapes control characters in every text, table cells included."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Render text from outside without control characters."""
        return super().render_str(printable(text), **options)

    def print_line(self, text: str) -> None:
        """Print `text` as it is: no markup, not folded."""
        self.print(text, markup=False, soft_wrap=True)


def stdout() -> TerminalConsole:
    """Return standard output; lines for files and other programs are not folded to a screen's width."""
    return TerminalConsole(highlight=False, emoji=False, width=None if sys.stdout.isatty() else 200)


def stderr() -> TerminalConsole:
    """Return standard error."""
    return TerminalConsole(highlight=False, emoji=False, stderr=True)
