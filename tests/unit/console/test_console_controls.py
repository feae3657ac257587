"""docs/console.md lists every control of the console with a browser test that exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
LISTED = (ROOT / "docs" / "console.md").read_text(encoding="utf-8")
CONTROLS = {
    *("button", "download_button", "form_submit_button", "toggle", "selectbox", "segmented_control"),
    *("pills", "date_input", "number_input", "text_input", "multiselect"),
}
# Of these the key is an argument: the places that call them name it.
HANDED_ON = {"key", "name", "kind"}


def keys(path: Path) -> Iterator[str]:
    """The keys of the controls in that file, `*` for what is only known when they are drawn."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr not in CONTROLS:
            continue
        is_dialog = isinstance(node.func.value, ast.Name) and node.func.value.id == "confirm_dialog"
        key = node.args[1] if is_dialog else next((k.value for k in node.keywords if k.arg == "key"), None)
        assert key is not None, f"{path.name}:{node.lineno}: a control without a key"
        if isinstance(key, ast.Constant):
            yield str(key.value)
        elif isinstance(key, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in key.values)
        else:
            assert ast.unparse(key) in HANDED_ON, f"{path.name}:{node.lineno}: {ast.unparse(key)}"


def test_every_control_is_listed() -> None:
    control_keys = {key for path in (ROOT / "console").rglob("*.py") for key in keys(path)}
    assert len(control_keys) > 40
    assert [key for key in sorted(control_keys) if f"`{key}`" not in LISTED] == []


def test_every_test_that_is_listed_exists_and_presses_in_a_browser() -> None:
    named = set(re.findall(r"`(test_\w+)`", LISTED))
    browser_tests = {
        name
        for path in (ROOT / "tests" / "console").glob("test_*.py")
        if "pytest.mark.browser" in (source := path.read_text(encoding="utf-8"))
        for name in re.findall(r"^def (test_\w+)", source, re.MULTILINE)
    }
    assert len(named) > 30
    assert named - browser_tests == set()
