"""Tables without a library: names that stay names."""

from streamlit.testing.v1 import AppTest


def _html(page: AppTest) -> str:
    return "".join(element.proto.body for element in page.get("html"))


def test_a_name_in_a_listing_stays_a_name() -> None:
    def script() -> None:
        from console.ui import listing
        from console.ui.table import Column

        columns = Column("name", "Name", "name"), Column("size", "Size", "bytes"), Column("n", "N", "count")
        listing.render([{"name": "<img src=x>", "size": None, "n": 1234}], columns, "a list")

    markup = _html(AppTest.from_function(script).run())
    assert "<img" not in markup
    assert "&lt;img src=x&gt;" in markup
    assert "unknown" in markup
    assert ">1,234<" in markup
