"""The platform's organizations, projects and users are read through the session's scope."""

import re

from tests.support.source_files import ROOT, source_files

RAW = re.compile(r"\b(FROM|JOIN)\s+(ONLY\s+)?(\w+\.)?\"?(organizations|projects|users)\b")
# `demo` writes these tables itself: it plays the platform.
EXEMPT = (ROOT / "metering" / "catalogue" / "platform.py", ROOT / "fleetmeter" / "demo")


def test_only_one_module_names_the_platforms_tables() -> None:
    """Row-level security cannot protect them, because they are not ours."""
    paths = source_files()
    assert len(paths) > 300
    others = [path for path in paths if not any(path.is_relative_to(exempt) for exempt in EXEMPT)]
    assert [str(path.relative_to(ROOT)) for path in others if RAW.search(path.read_text())] == []
