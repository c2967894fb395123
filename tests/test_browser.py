"""The report in a browser without a network: it draws, sorts, filters and fits, and obeys nothing that records hold.

Needs Debian's chromium and chromedriver, and selenium: `tox -e browser`. There it fails without them; elsewhere it is
skipped.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from factories import make_failure
from whole_runs import timings, trainings, whole_selection

from bench.output.report import write_report

pytestmark = pytest.mark.browser

SWITCHES = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
NASTY = "</script><img src=x onerror=alert(1)>:f\x1b[31m"
WIDTHS = """return [...document.querySelectorAll(".chart svg")].map(
    (drawn) => [drawn.closest(".chart").dataset.chart, drawn.getBBox().width])"""
FILL = """return getComputedStyle(document.querySelector(".chart text")).fill"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start chromium without a network; what it asks for and complains of is recorded."""
    required = os.environ.get("TOX_ENV_NAME") == "browser"
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and chromedriver):
        (pytest.fail if required else pytest.skip)("needs a browser: apt-get install chromium chromium-driver")
    if not required:
        pytest.importorskip("selenium")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    driver.execute_cdp_cmd("Network.enable", {})
    off = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", off)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(whole_selection(), path)
    return path


def opened(browser: Any, path: Path, *, width: int = 1280, scheme: str = "light") -> Any:
    """Open a page in a window of some width, and wait until all its charts are drawn."""
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme_feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme_feature)
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(path.as_uri())
    wait(
        browser, "return document.querySelectorAll('.chart').length === document.querySelectorAll('.chart svg').length"
    )
    return browser


def wait(browser: Any, condition: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(condition))


def switch(page: Any, value: str) -> None:
    page.execute_script(f"document.querySelector('#filters input[value=\"{value}\"]').click()")


def rows(page: Any, table: str) -> list[str]:
    """Return the texts of the rows of a table that are shown."""
    page.execute_script(f"document.getElementById('{table}').open = true")
    elements = page.find_elements("css selector", f"#{table} tbody tr")
    return [row.text for row in elements if row.is_displayed()]


def complaints(page: Any) -> list[str]:
    return [entry["message"] for entry in page.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.mark.parametrize("width", [360, 1280])
def test_charts_fit_and_nothing_is_loaded(browser: Any, report: Path, width: int) -> None:
    page = opened(browser, report, width=width)
    asked = [
        entry["message"] for entry in page.get_log("performance") if "Network.requestWillBeSent" in entry["message"]
    ]
    assert [entry for entry in asked if "file:///" not in entry and "data:" not in entry] == []
    assert complaints(page) == []
    available = page.execute_script("return document.querySelector('.chart').clientWidth")
    widths = {name: width / available for name, width in page.execute_script(WIDTHS)}
    assert all(0.8 < share < 1.1 for share in widths.values()), widths
    assert page.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_filters_leave_what_is_switched_on(browser: Any, report: Path) -> None:
    page = opened(browser, report)
    assert len(rows(page, "table-speed-by-backend")) == 12
    switch(page, "tensorflow")
    switch(page, "4")
    assert [row.split()[:2] for row in rows(page, "table-speed-by-backend")] == [["lstm", "12"], ["simple_rnn", "12"]]
    legend = "return document.querySelector('[data-chart=speed]').textContent.includes('TensorFlow')"
    wait(page, f"return !(() => {{ {legend} }})()")
    page.execute_script("document.querySelector('#filters button').click()")
    wait(page, legend)
    assert len(rows(page, "table-speed-by-backend")) == 12


def test_chart_without_rows_is_hidden(browser: Any, report: Path) -> None:
    page = opened(browser, report)
    switch(page, "torch")
    wait(page, "return document.querySelector('[data-chart=tax]').closest('figure').hidden")
    switch(page, "torch")
    wait(page, "return !document.querySelector('[data-chart=tax]').closest('figure').hidden")


def test_tables_are_sorted_with_the_keyboard(browser: Any, report: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    page = opened(browser, report)
    rows(page, "table-speed")
    heading = next(
        button for button in page.find_elements("css selector", "#table-speed th button") if "ms" in button.text
    )
    column = page.execute_script("return arguments[0].closest('th').cellIndex", heading)
    for sign in (1, -1):
        heading.send_keys(Keys.ENTER)
        cells = page.find_elements("css selector", f"#table-speed tbody tr > :nth-child({column + 1})")
        values = [float(cell.text) for cell in cells if cell.text]
        assert values == sorted(values, key=lambda value: sign * value) and len(set(values)) > 2


def test_themes_and_print(browser: Any, report: Path) -> None:
    """Charts take their colours from the page: dark where the system or the button says so; print is light."""
    page = opened(browser, report, scheme="dark")
    assert page.execute_script(FILL) == "rgb(230, 232, 234)"
    page.find_element("id", "theme").click()
    assert page.execute_script(FILL) == "rgb(28, 32, 36)"
    page.find_element("id", "theme").click()
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert page.execute_script(FILL) == "rgb(28, 32, 36)"
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_tooltips_show_the_figure(browser: Any, report: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    page = opened(browser, report)
    points = page.find_elements("css selector", "[data-chart=speed] .mark-symbol.role-mark path")
    page.execute_script("arguments[0].scrollIntoView({ block: 'center' })", points[0])
    ActionChains(page).move_to_element(points[0]).perform()
    wait(page, "return document.querySelector('#vg-tooltip-element')?.textContent.includes('ms per epoch')")


def test_nothing_in_a_record_is_run(browser: Any, tmp_path: Path) -> None:
    lost = make_failure(reason=f"{NASTY}\nsecond line")
    write_report(whole_selection(*timings([NASTY], [4]), *trainings([NASTY]), lost), tmp_path / "nasty.html")
    page = opened(browser, tmp_path / "nasty.html")
    assert page.execute_script("return document.querySelectorAll('img').length") == 0
    shown = page.find_element("tag name", "main").get_attribute("textContent")
    assert "</script><img src=x onerror=alert(1)>:f\\x1b[31m" in shown
    page.execute_script("document.querySelector('#filters').requestSubmit?.()")
    assert complaints(page) == []
