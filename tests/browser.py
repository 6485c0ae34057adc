"""A report in a real browser: what a reader of it would meet."""

import shutil
from dataclasses import dataclass, field

import pytest

PHONE, DESK = (390, 844), (1280, 900)
NAMES = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class Seen:
    """What happened while a page was looked at."""

    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    pages_printed: int = 0
    swipes: int = 0
    images: int = 0
    charts: int = 0


def look_at(report, pictures=None):
    """Open a page wide and narrow, use all that can be used, print it; return what was seen.

    Parameters
    ----------
    report : path-like
        The page.
    pictures : path-like, optional
        Folder for pictures of the whole page.
    """
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no browser; install one of {', '.join(NAMES)}")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    seen = Seen()
    with sync_api.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name, (width, height) in (("wide", DESK), ("narrow", PHONE)):
            page = browser.new_page(viewport={"width": width, "height": height})
            page.on("console", lambda message: seen.complaints.append(message.text))
            page.on("pageerror", lambda error: seen.complaints.append(str(error)))
            page.on("request", lambda request: seen.asked.append(request.url))
            page.goto(f"file://{report}")
            _check(page, seen)
            if pictures:
                page.screenshot(path=f"{pictures}/{name}.png", full_page=True)
        seen.pages_printed = page.pdf(format="A4").count(b"/Type /Page\n") or 1
        browser.close()
    seen.asked = [url for url in seen.asked if not url.startswith(("data:", "file:"))]
    return seen


def _check(page, seen):
    """Fail where something is not drawn, does not fit, or does not answer."""
    size = "e => { const b = e.getBoundingClientRect(); return [b.width, b.height]; }"
    images, charts = page.locator("img").all(), page.locator("svg").all()
    for image in images:
        assert image.evaluate("e => e.complete && e.naturalWidth > 0"), image.get_attribute("alt")
    for chart in charts:
        width, height = chart.evaluate(size)
        assert min(width, height) > 10, chart.get_attribute("aria-label")
    wider = page.evaluate("document.scrollingElement.scrollWidth - window.innerWidth")
    assert wider <= 0, f"the page is {wider} px wider than the screen"
    for swipe in page.locator(".swipe").all():
        _swipe(page, swipe)
        seen.swipes += 1
    for link in page.locator("nav a").all():
        assert page.locator(link.get_attribute("href")).count() == 1
    for details in page.locator("details").all():
        before = details.evaluate("e => e.open")
        details.locator("summary").first.click()
        assert details.evaluate("e => e.open") != before
    seen.images, seen.charts = len(images), len(charts)


def _swipe(page, swipe):
    """Drag across the picture: the coarse part ends where the hand is."""
    swipe.scroll_into_view_if_needed()
    box = swipe.locator("input").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.5 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], middle, steps=4)
    page.mouse.up()
    handle = swipe.locator(".handle").bounding_box()
    share = (handle["x"] + handle["width"] / 2 - box["x"]) / box["width"]
    assert 0.7 < share < 0.9, f"the handle is at {share:.2f}"
    clip = swipe.locator(".top").evaluate("e => getComputedStyle(e).clipPath")
    assert clip.startswith("inset(0"), clip
