"""Makes the page /stability.html of the service from docs/stability.md, so that the explanation is there offline.

    python docs/as_page.py

A test holds the page to be what this makes of the text. Links into the repository become plain words, since the service
does not serve it.
"""

from __future__ import annotations

import re
from pathlib import Path

from markdown_it import MarkdownIt

HERE = Path(__file__).parent
SOURCE = HERE / "stability.md"
PAGE = HERE.parent / "frontend" / "epochscope_web" / "static" / "stability.html"

FRAME = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <title>{title} · epochscope</title>
    <link rel="icon" href="/favicon.svg" type="image/svg+xml" />
    <link rel="stylesheet" href="/stability.css" />
  </head>
  <body>
    <!-- Made from docs/stability.md by docs/as_page.py. -->
    <nav><a href="/">epochscope</a></nav>
    <main>
{body}    </main>
  </body>
</html>
"""


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def page(text: str) -> str:
    """The whole page for a text in Markdown."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    title = ""
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            words = tokens[place + 1].content
            title = title or words
            token.attrSet("id", anchor(words))
        for child in token.children or []:
            if child.type == "link_open" and not str(child.attrs["href"]).startswith(("#", "https://")):
                child.tag, child.attrs = "span", {}
            elif child.type == "link_close":
                opened = next(
                    one
                    for one in reversed((token.children or [])[: (token.children or []).index(child)])
                    if one.type == "link_open"
                )
                child.tag = opened.tag
    body = parser.renderer.render(tokens, parser.options, {})
    # Wide tables scroll by themselves, and not the page.
    body = body.replace("<table>", '<div class="wide" tabindex="0"><table>').replace("</table>", "</table></div>")
    return FRAME.format(title=title, body=body)


if __name__ == "__main__":
    PAGE.write_text(page(SOURCE.read_text()))
