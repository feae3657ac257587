"""Draw the pictures of the documentation: each TOML file of this folder becomes an SVG beside it."""

import tomllib
from html import escape
from pathlib import Path
from typing import Any

Point = tuple[float, float]

FOLDER = Path(__file__).parent
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1c2733; text-anchor: middle }
  .title { font-weight: 600; fill: #4a5866 } .name { font-weight: 600 }
  .label { font-size: 11.5px; fill: #4a5866 }
  .page { fill: #ffffff } .group { fill: #f3f6f9 } .box { fill: #ffffff; stroke: #6b7c8d }
  .table { fill: #e3f0ff; stroke: #2f6db3 } .edge { fill: none; stroke: #4a5866; stroke-width: 1.4 }
"""
ARROW = (
    '<marker id="arrow" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path d="M0 0 8 4 0 8z" fill="#4a5866"/></marker>'
)
LINE = 17  # pixels from one line of text to the next


def draw(source: str) -> str:
    """Return the SVG of a picture's TOML source; the same source gives the same bytes."""
    picture = tomllib.loads(source)
    width, height = picture["size"]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img"><title>{escape(picture["title"])}</title>',
        f"<style>{STYLE}</style><defs>{ARROW}</defs>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        *(_group(group) for group in picture["groups"].values()),
        *(_edge(edge, picture["nodes"] | picture["groups"]) for edge in picture["edges"]),
        *(_node(node) for node in picture["nodes"].values()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _rectangle(place: list[int], kind: str) -> str:
    left, top, width, height = place
    return f'<rect class="{kind}" x="{left}" y="{top}" width="{width}" height="{height}" rx="8"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


def _group(group: dict[str, Any]) -> str:
    left, top, width, _ = group["place"]
    return _rectangle(group["place"], "group") + _text(left + width / 2, top + 22, group["title"], "title")


def _node(node: dict[str, Any]) -> str:
    left, top, width, height = node["place"]
    first = top + height / 2 - (len(node["text"]) - 1) * LINE / 2 + 4
    lines = (
        _text(left + width / 2, first + place * LINE, line, "line" if place else "name")
        for place, line in enumerate(node["text"])
    )
    return _rectangle(node["place"], node.get("kind", "box")) + "".join(lines)


def _edge(edge: dict[str, Any], nodes: dict[str, Any]) -> str:
    (left, top, width, height), (to_left, to_top, to_width, to_height) = (
        nodes[edge[end]]["place"] for end in ("from", "to")
    )
    leaves, arrives = edge.get("at", (0.5, 0.5))
    y, to_y = top + height * leaves, to_top + to_height * arrives
    if left + width <= to_left:
        start, end = (left + width, y), (to_left, to_y)
    elif to_left + to_width <= left:
        start, end = (left, y), (to_left + to_width, to_y)
    else:
        start, end = (left + width / 2, top + height), (to_left + to_width / 2, to_top)
    turn = start[0] + (end[0] - start[0]) * edge.get("turn", 0.5)
    return _path(start, turn, end) + _label(edge.get("text", ""), start, turn, end)


def _path(start: Point, turn: float, end: Point) -> str:
    bends = f"H{turn:g} V{end[1]:g} H{end[0]:g}" if start[0] != end[0] else f"V{end[1]:g}"
    return f'<path class="edge" d="M{start[0]:g} {start[1]:g} {bends}" marker-end="url(#arrow)"/>'


def _label(text: str, start: Point, turn: float, end: Point) -> str:
    if not text:
        return ""
    beside = start[0] == end[0]  # the edge goes down: the label stands to its right
    x = turn + (len(text) * 3.4 + 8 if beside else 0)
    return _text(x, (start[1] + end[1]) / 2 + 4 if beside else end[1] - 6, text, "label")


if __name__ == "__main__":
    for source in sorted(FOLDER.glob("*.toml")):
        source.with_suffix(".svg").write_text(draw(source.read_text(encoding="utf-8")), encoding="utf-8")
