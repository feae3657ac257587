"""Escape text from outside before a terminal or a log shows it.

Names, topics, hosts, reasons and errors are chosen by customers and other systems. A terminal executes escape
sequences in them, a carriage return overwrites a line, and a bidirectional override shows another text than
there is. Files and JSON keep the text, escaped by their own format.
"""

import re

# Control characters but tab and newline, bidirectional controls, line and paragraph separators, tag
# characters, and lone surrogates, which no output can encode.
ACTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)
LINE_BREAKS = re.compile("[\t\n]")


def printable(text: str) -> str:
    r"""Return `text` with active characters written out, like \x1b; line breaks stay."""
    return ACTIVE.sub(_escaped, text)


def one_line(text: str) -> str:
    r"""Return `text` with active characters and line breaks written out, like \n."""
    return LINE_BREAKS.sub(_escaped, printable(text))


def first_line(text: str) -> str:
    """Return the first line of `text`, such as an error's message; nothing of an empty text."""
    lines = text.strip().splitlines()
    return lines[0] if lines else ""


def _escaped(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode()
