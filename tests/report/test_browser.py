"""A real browser reads the pages: no error, no request, no sideways scroll, by keyboard, in the dark and on paper."""

from itertools import pairwise

import pytest
from playwright.sync_api import sync_playwright

from tests import chromium

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PAGES = ("index", "deq-ddim", "decoder-inversion", "deq-score-matching", "jiio")


@pytest.fixture(scope="module")
def browser():
    path = chromium.find()
    if path is None:
        pytest.fail(chromium.WANTED, pytrace=False)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield running
        running.close()


@pytest.fixture
def visit(browser, run):
    """Opens a page at a width, and afterwards checks that nothing went wrong and nothing was fetched elsewhere."""
    contexts, wrong = [], []

    def open_page(name: str, width: int = 1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith("file://") else wrong.append(request.url))
        page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
        page.goto((run.out / f"{name}.html").as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def background(page) -> int:
    """Brightness of the page's background, 0 to 765."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(int(part) for part in colour.removeprefix("rgb(").rstrip(")").split(","))


@pytest.mark.parametrize("name", PAGES)
def test_the_page_never_scrolls_sideways_on_a_phone(visit, name):
    page = visit(name, width=390)
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("name", PAGES)
def test_structure_serves_a_screen_reader(visit, name):
    page = visit(name)
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5')].map(head => +head.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.evaluate("[...document.images].filter(image => !image.alt || !image.naturalWidth).length") == 0
    assert page.evaluate("document.querySelectorAll('th:not([scope])').length") == 0
    assert page.evaluate("document.querySelectorAll('table:not(:has(caption))').length") == 0
    assert page.evaluate("document.querySelectorAll('main').length") == 1
    assert page.evaluate("[...document.querySelectorAll('nav')].every(part => part.ariaLabel)")


def test_a_column_is_sorted_by_keyboard_and_gaps_stay_last(visit):
    page = visit("deq-ddim")
    table = page.locator("#table-1 table.sortable").first
    head, button = table.locator("thead th").nth(2), table.locator("thead button").nth(2)
    values = "rows => rows.map(row => row.cells[2].dataset.sort)"
    table.locator("thead button").first.press("Enter")  # by name, so that the row with the gap comes first
    assert table.locator("tbody tr").evaluate_all(values)[0] == ""
    button.focus()
    for order, reverse in (("ascending", False), ("descending", True)):
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == order
        shown = table.locator("tbody tr").evaluate_all(values)
        assert shown[-1] == ""
        numbers = [float(text) for text in shown[:-1]]
        assert numbers == sorted(numbers, reverse=reverse)
    table.locator("thead button").nth(1).press("Enter")
    assert table.locator("thead th[aria-sort]").count() == 1


def test_the_first_key_leads_past_the_navigation(visit):
    page = visit("index")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_the_page_is_light_by_day_and_dark_by_night(visit):
    assert background(visit("index", color_scheme="light")) > 700
    page = visit("deq-ddim", color_scheme="dark")
    assert background(page) < 100
    sheet = page.evaluate("getComputedStyle(document.querySelector('.sheet')).backgroundColor")
    assert sheet == "rgb(255, 255, 255)"  # drawings keep a light ground


def test_tables_are_complete_without_scripts(visit):
    page = visit("deq-ddim", java_script_enabled=False)
    assert page.locator("#table-1 table.cells tbody tr").count() == 12
    assert page.locator("table.cells thead button").count() == 0


def test_paper_gets_everything_unfolded_and_no_navigation(visit):
    page = visit("deq-ddim")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert not page.locator("header.top").is_visible()
    assert page.locator("#table-3 table.printed-grid").is_visible()
    assert page.pdf().startswith(b"%PDF")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0
