"""A real Chromium for the tests of the page."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PHONE = (390, 844)
DESK = (1440, 900)


@contextmanager
def open_chromium() -> Iterator[Any]:
    """A browser without a window, which keeps its log and what it asks for."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs chromium and chromedriver")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(30)
    try:
        yield driver
    finally:
        driver.quit()


def show(chromium: Any, address: str, size: tuple[int, int]) -> None:
    width_px, height_px = size
    chromium.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width_px, "height": height_px, "deviceScaleFactor": 1, "mobile": width_px < 600},
    )
    chromium.get(address)


def run(chromium: Any, code: str) -> Any:
    return chromium.execute_script(code)


def eventually(chromium: Any, code: str, timeout_s: float = 20.0) -> Any:
    """Wait until the page says so."""
    deadline_s = time.monotonic() + timeout_s
    while not (found := run(chromium, code)):
        assert time.monotonic() < deadline_s, f"never: {code}"
        time.sleep(0.02)
    return found


# A number that changes with any pixel.
DIGEST = """
const element = document.getElementById(arguments[0]);
const canvas = element.querySelector("canvas") ?? element;
const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
let sum = 0;
for (let n = 0; n < pixels.length; n += 97) sum = (31 * sum + pixels[n]) % 1000003;
return sum;
"""


def changes(chromium: Any, canvas: str, within_s: float = 8.0) -> bool:
    first, deadline_s = chromium.execute_script(DIGEST, canvas), time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        if chromium.execute_script(DIGEST, canvas) != first:
            return True
        time.sleep(0.1)
    return False
