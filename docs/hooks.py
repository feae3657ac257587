"""Put the documents of the repository's root on the site, with their links as the site has them."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCUMENTS = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
LINK = re.compile(rf"\]\((?:\.\./)*(?:docs/)?({'|'.join(DOCUMENTS)})(#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add each document under its name on the site."""
    for name, page in DOCUMENTS.items():
        text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to these documents to their pages."""
    up = "../" * page.file.src_uri.count("/")
    return LINK.sub(lambda link: f"]({up}{DOCUMENTS[link[1]]}{link[2] or ''})", markdown)
