"""Times what somebody sees who starts the demonstration, and what it costs afterwards while nobody looks.

    python tests/first_look.py                   # needs chromium, chromedriver and selenium
    python tests/first_look.py --idle-seconds 60

From the start of `tremorscope run` with configs/demo.yaml (its port and directory aside) until a Chromium that
waits already shows a picture that was magnified; then, with the browser gone, the processor time of the service.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from demo_service import DemoService

SHOWN = """
const caption = document.getElementById("magnification")?.textContent ?? "";
return Boolean(window.page?.picture?.count) && caption.startsWith("\\u00d7");
"""
"""Whether the page has painted a picture, and says by how much it is magnified."""
_PATIENCE_S = 180.0


def open_chromium() -> Any:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def first_picture_s(directory: Path, port: int, chromium: Any) -> tuple[DemoService, float]:
    """The service, and the seconds from its start to the first magnified picture."""
    from selenium.common.exceptions import WebDriverException

    begun_s = time.monotonic()
    service = DemoService(directory, port)
    while time.monotonic() < begun_s + _PATIENCE_S:
        service.check_alive()
        try:
            if not chromium.current_url.startswith("http"):
                chromium.get(f"{service.url}/")
            if chromium.execute_script(SHOWN):
                return service, time.monotonic() - begun_s
        except WebDriverException:  # nobody listens there yet
            chromium.get("about:blank")
        time.sleep(0.05)
    raise TimeoutError(service.log.read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the first magnified picture, and the service at rest.")
    parser.add_argument("--idle-seconds", type=float, default=30.0)
    parser.add_argument("--port", type=int, default=18083)
    options = parser.parse_args()
    chromium = open_chromium()
    with tempfile.TemporaryDirectory() as directory:
        service, picture_s = first_picture_s(Path(directory), options.port, chromium)
        try:
            used_s = service.processor_s()
            chromium.quit()
            service.wait(lambda state: not state["viewers"] and not state["magnification"]["active"])
            time.sleep(5.0)
            before_s, frames = service.processor_s(), service.state()["frames"]
            time.sleep(options.idle_seconds)
            idle = (service.processor_s() - before_s) / options.idle_seconds
            rate_hz = (service.state()["frames"] - frames) / options.idle_seconds
            stopped_s = service.stop()
        finally:
            service.kill()
    found = {
        "first_picture_s": picture_s, "processor_until_then_s": used_s, "idle_share_of_a_core": idle,
        "idle_frames_a_second": rate_hz, "stopped_s": stopped_s, "status": service.process.returncode,
    }  # fmt: skip
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
