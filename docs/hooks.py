"""Files of the root that are pages of the site, too: their links lose the directory `docs/`."""

from typing import Any

LINKS = {
    "](docs/adr)": "](adr/0001-one-multi-asset.md)",
    "](docs/": "](",
    "](CHANGELOG.md)": "](changelog.md)",
    "](SECURITY.md)": "](security.md)",
    "](CONTRIBUTING.md)": "](contributing.md)",
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs calls it with each page."""
    for link, on_the_site in LINKS.items():
        markdown = markdown.replace(link, on_the_site)
    return markdown
