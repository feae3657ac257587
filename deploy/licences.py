"""Print the licences of a CycloneDX bill of materials as a page of the documentation.

python deploy/licences.py build/sbom.json > docs/licences.md
"""

import json
import sys
from pathlib import Path
from typing import Any

CLASSIFIER = "License :: OSI Approved :: "
LONGEST = 60  # characters of a licence's name; more is the text itself

PAGE = """\
# Licences of a production install

Fleetmeter is under Apache-2.0. The packages of `requirements.lock` are listed here with the licences that
they declare. `make sbom` writes this page and the bill of materials, `build/sbom.json` (CycloneDX). CI
refuses a page that is out of date.

| package | licence |
|---|---|
"""


def licence_names(component: dict[str, Any]) -> str:
    """Return the licences that a package declares: SPDX expressions and ids first, else its own words."""
    choices = component.get("licenses", [])
    expressions = [choice["expression"] for choice in choices if "expression" in choice]
    licences = [choice["license"] for choice in choices if "license" in choice]
    identifiers = [licence["id"] for licence in licences if "id" in licence]
    return ", ".join(dict.fromkeys(expressions or identifiers or _own_words(licences))) or "not declared"


def _own_words(licences: list[dict[str, Any]]) -> list[str]:
    classifiers = [licence["name"] for licence in licences if licence.get("name", "").startswith(CLASSIFIER)]
    texts = [licence.get("text", {}).get("content", "").strip() for licence in licences]
    short = [text for text in texts if text and "\n" not in text and len(text) <= LONGEST]
    return [name.removeprefix(CLASSIFIER) for name in classifiers] or short


def main() -> None:
    """Print the page of the file that the command line names."""
    components = json.loads(Path(sys.argv[1]).read_text())["components"]
    rows = {component["name"].lower(): licence_names(component) for component in components}
    sys.stdout.write(PAGE + "".join(f"| {name} | {rows[name]} |\n" for name in sorted(rows)))


if __name__ == "__main__":
    main()
