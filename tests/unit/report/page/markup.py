"""HTML read strictly: every element closed where it must be, attributes once, and what stands in it."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "img", "hr", "wbr"}
DRAWN = {"path", "line", "rect", "circle", "use", "symbol"}  # may close themselves in SVG


class Strict(HTMLParser):
    """Raises AssertionError at the first tag that does not fit; collects texts and elements."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"<{tag}> has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID | DRAWN, f"<{tag}/> is not closed in HTML"
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.texts.append(data)


def parsed(html: str) -> Strict:
    """A whole page, read strictly."""
    found = Strict()
    found.feed(html)
    found.close()
    assert not found.open, f"not closed: {found.open}"
    return found


def script_of(html: str, identity: str) -> str:
    """What stands in the `<script>` of this id."""
    return html.partition(f'id="{identity}">')[2].partition("</script>")[0]
