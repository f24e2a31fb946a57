"""A page as a test reads it."""

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """What a page holds: ids, links, tags, text, and whether every tag is closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.ids, self.links, self.tags, self.open, self.crossed = [], [], [], [], []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append((tag, found))
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found[name] for name in ("href", "src") if name in found]
        if tag not in VOID and tag not in ("line", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in ("line", "circle"):
            return
        if not self.open or self.open.pop() != tag:
            self.crossed.append(tag)

    def handle_data(self, data):
        self.words += data
