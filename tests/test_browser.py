"""The report in a browser without a network: it draws, sorts, filters and fits, and obeys nothing that records say.

Needs Debian's chromium and chromedriver, and selenium: `tox -e browser`. There it fails without them; elsewhere it is
skipped.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from factories import make_cell, make_failure, make_processes
from whole_runs import NOISE, whole_selection

from bench.analysis.selection import Selection
from bench.output.report.page import write_page
from bench.records.schema import Record

pytestmark = pytest.mark.browser

MISSING = "needs a browser: apt-get install chromium chromium-driver"
NASTY = "</script><img src=x onerror=alert(1)>:f\x1b[31m"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start chromium without a network; what it asks for and complains of is recorded."""
    required = os.environ.get("TOX_ENV_NAME") == "browser"
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and chromedriver):
        (pytest.fail if required else pytest.skip)(MISSING)
    if not required:
        pytest.importorskip("selenium")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    driver.execute_cdp_cmd("Network.enable", {})
    off = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", off)
    driver.set_script_timeout(30)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(whole_selection(), tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def page(browser: Any, report: Path) -> Any:
    """Open the report on a desktop, as new."""
    return opened(browser, report)


def written(chosen: Selection, path: Path) -> Path:
    write_page(chosen, path)
    return path


def opened(browser: Any, path: Path, *, width: int = 1280, scheme: str = "light") -> Any:
    """Open a page in a window of some width, and wait until Plotly is there."""
    browser.get_log("browser"), browser.get_log("performance")
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(path.as_uri())
    wait(browser, "return Boolean(window.Plotly) || !document.querySelector('.needs-plots').hidden")
    return browser


def wait(browser: Any, script: str) -> Any:
    """Wait until a script returns something."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 30, 0.05).until(lambda driver: driver.execute_script(script))


def draw_all(page: Any) -> int:
    """Scroll to every plot until it is drawn; return how many there are."""
    count = page.execute_script("return document.querySelectorAll('.plot').length")
    for number in range(count):
        page.execute_script("document.querySelectorAll('.plot')[arguments[0]].scrollIntoView()", number)
        wait(page, f"return document.querySelectorAll('.plot')[{number}].querySelector('svg.main-svg')")
    return int(count)


def column(page: Any, table: str, number: int) -> list[str]:
    """Return the texts of a column of a table, of the rows that are shown."""
    script = """
        return [...document.querySelectorAll(`#table-${arguments[0]} tbody tr:not([hidden])`)]
            .map((row) => row.cells[arguments[1]].textContent)
    """
    return list(page.execute_script(script, table, number))


def headings(page: Any, table: str) -> list[Any]:
    page.execute_script("document.getElementById(arguments[0]).open = true", f"table-{table}")
    return list(page.find_elements("css selector", f"#table-{table} thead button"))


def switch(page: Any, axis: str, place: int) -> None:
    page.execute_script(f'document.querySelector(\'input[name="{axis}"][value="{place}"]\').click()')


def severe(page: Any) -> list[str]:
    return [entry["message"] for entry in page.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def test_all_plots_are_drawn_without_a_complaint(page: Any) -> None:
    assert draw_all(page) > 10
    marks = ".plot .scatterlayer .trace, .plot .barlayer .bars"
    assert page.execute_script("return document.querySelectorAll(arguments[0]).length", marks) > 30
    assert severe(page) == []


def test_nothing_is_asked_for_but_the_page_itself(page: Any) -> None:
    draw_all(page)
    asked = [entry["message"] for entry in page.get_log("performance") if "requestWillBeSent" in entry["message"]]
    urls = {part.split('"')[0] for entry in asked for part in entry.split('"url":"')[1:]}
    assert {url for url in urls if not url.startswith(("data:", "blob:"))} == {page.current_url}


def test_a_connection_is_refused_by_the_page(page: Any) -> None:
    """Whatever a script might try."""
    script = "fetch('data:text/plain,x').then(() => arguments[0]('sent'), () => arguments[0]('refused'))"
    assert page.execute_async_script(script) == "refused"
    assert any("Content Security Policy" in message for message in severe(page))


def test_a_click_sorts_and_a_second_one_turns_round(page: Any) -> None:
    button = headings(page, "ratios")[3]
    assert button.text == "times as long"
    button.click()
    figures = [float(text) for text in column(page, "ratios", 3)]
    assert figures == sorted(figures) and len(set(figures)) > 2
    assert button.find_element("xpath", "..").get_attribute("aria-sort") == "ascending"
    button.click()
    assert [float(text) for text in column(page, "ratios", 3)] == sorted(figures, reverse=True)
    assert button.find_element("xpath", "..").get_attribute("aria-sort") == "descending"


def test_the_keyboard_sorts_too(page: Any) -> None:
    button = headings(page, "speed")[2]
    page.execute_script("arguments[0].focus()", button)
    button.send_keys("\ue007")
    names = column(page, "speed", 2)
    assert names == sorted(names) and len(set(names)) == 3
    assert page.find_elements("css selector", "#table-speed th[aria-sort]")[0].text.startswith("backend")
    assert "Sorted by backend, ascending." in page.find_element("id", "status").get_attribute("textContent")


def test_empty_cells_stay_at_the_end(page: Any) -> None:
    button = headings(page, "accuracy")[3]
    for _ in range(2):
        button.click()
        cells = column(page, "accuracy", 3)
        assert "" in cells and cells.index("") == len([cell for cell in cells if cell])


def test_the_filter_hides_rows_and_lines_of_a_backend(page: Any) -> None:
    count = draw_all(page)
    assert "torch" in column(page, "speed", 2)
    switch(page, "backend", 1)
    assert set(column(page, "speed", 2)) == {"jax", "tensorflow"}
    assert set(column(page, "ratios", 2)) == {"tensorflow / jax"}
    traces = "return document.querySelectorAll('.plot')[0].data.map((trace) => trace.name)"
    assert page.execute_script(traces) == ["jax", "tensorflow"]
    page.find_element("css selector", "#filters button[type=reset]").click()
    wait(page, "return document.querySelectorAll('.plot')[0].data.length === 3")
    assert "torch" in column(page, "speed", 2) and count == draw_all(page)


def test_a_plot_without_anything_left_is_hidden(page: Any) -> None:
    shown = "return document.querySelectorAll('figure:not([hidden])').length"
    before = page.execute_script(shown)
    switch(page, "length", 0)
    assert 0 < page.execute_script(shown) < before
    assert set(column(page, "speed", 1)) == {"12"}


def test_the_theme_follows_the_system_and_the_button(browser: Any, report: Path) -> None:
    page = opened(browser, report, scheme="dark")
    color = "return getComputedStyle(document.body).backgroundColor"
    dark = page.execute_script(color)
    draw_all(page)
    ink = "return document.querySelector('.plot').layout.font.color"
    light_ink = page.execute_script(ink)
    page.find_element("id", "theme").click()
    assert dark == "rgb(20, 23, 26)" and page.execute_script(color) == "rgb(255, 255, 255)"
    assert page.execute_script(ink) != light_ink
    assert opened(browser, report, scheme="light").execute_script(color) == "rgb(255, 255, 255)"


@pytest.mark.parametrize("width", [360, 320, 768])
def test_no_width_makes_the_page_scroll_sideways(browser: Any, report: Path, width: int) -> None:
    page = opened(browser, report, width=width)
    draw_all(page)
    page.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.execute_script("return document.scrollingElement.scrollWidth") <= width


def test_long_tables_are_shown_in_part_until_asked(page: Any) -> None:
    headings(page, "lengths")
    rows = len(column(page, "lengths", 0))
    whole = page.execute_script("return document.querySelectorAll('#table-memory tbody tr').length")
    headings(page, "memory")
    assert len(column(page, "memory", 0)) == 20 < whole and rows <= 20
    button = page.find_element("css selector", "#table-memory .more")
    assert button.text == f"Show all {whole} rows"
    button.click()
    assert len(column(page, "memory", 0)) == whole and button.text == "Show 20 rows"


def test_a_link_below_a_plot_opens_its_table(page: Any) -> None:
    link = page.find_element("css selector", ".as-table a")
    page.execute_script("arguments[0].click()", link)
    wait(page, "return document.getElementById('table-speed').open")


def test_the_first_tab_skips_to_the_answer(page: Any) -> None:
    page.find_element("tag name", "body").send_keys("\ue004")
    focused = "return document.activeElement"
    assert page.execute_script(focused).get_attribute("class") == "skip"
    assert page.execute_script("return document.activeElement.getBoundingClientRect().left") >= 0


def test_print_shows_every_table_and_no_control(page: Any) -> None:
    page.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert page.execute_script("return document.querySelectorAll('details.table:not([open])').length") == 0
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert page.execute_script("return getComputedStyle(document.getElementById('filters')).display") == "none"
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    page.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert page.execute_script("return document.querySelectorAll('details.table:not([open])').length") > 10


def test_an_old_browser_shows_the_tables_and_says_why_no_plots(browser: Any, report: Path) -> None:
    source = {"source": "delete window.DecompressionStream"}
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", source)
    try:
        page = opened(browser, report)
        assert "Plots need a newer browser" in page.find_element("css selector", ".needs-plots").text
        assert not page.find_element("css selector", ".plots").is_displayed()
        assert len(column(page, "speed", 0)) == 13 and severe(page) == []
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def test_a_name_in_a_record_is_only_a_name(browser: Any, tmp_path: Path) -> None:
    cell = make_cell(model=NASTY, length=4)
    records: list[Record] = [*make_processes(cell, seconds=NOISE), make_failure(cell, reason=NASTY)]
    page = opened(browser, written(whole_selection(*records), tmp_path / "report.html"))
    draw_all(page)
    assert page.execute_script("return document.querySelectorAll('img').length") == 0
    shown = page.find_element("tag name", "main").get_attribute("textContent")
    assert "</script><img src=x onerror=alert(1)>:f\\x1b[31m" in shown
    switch(page, "model", 0)
    assert severe(page) == []
