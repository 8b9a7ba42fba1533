"""The Dagster UI, served by `oddins dev` and looked at with a headless Chromium."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    StaleElementReferenceException,
    WebDriverException,
)
from selenium.webdriver.chrome.service import Service as Driver
from selenium.webdriver.common.by import By

from oddins_pipeline_tests.support.embedded import destroy, processes_of

CHROMIUM, CHROMEDRIVER = shutil.which("chromium"), shutil.which("chromedriver")
LOCATION = "/locations/oddins_pipeline.definitions"
PATIENCE = 120.0
"""Seconds for anything to appear: a run of the queue takes 15 s on an idle machine."""

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--window-size=1440,1120"),
)


@contextmanager
def served(home: Path, *arguments: str, **environment: str) -> Iterator[str]:
    """`oddins dev` with these arguments; yields the UI's address, stops all at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = home / "dev.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "oddins_pipeline", "dev", "--port", str(port), *arguments],
            env={**os.environ, "ODDINS_HOME": str(home), **environment},
            cwd=home,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for_server(address, process, log)
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(30) == 128 + signal.SIGINT, log.read_text()[-3000:]
            assert "interrupted" in log.read_text().splitlines()[-1]
            assert not processes_of(home), "something of Dagster is left"
        finally:
            for number in (process.pid, *processes_of(home)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            process.wait()
            destroy(home)


def _wait_for_server(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"{address}/server_info", timeout=5, trust_env=False).raise_for_status()
            return
        time.sleep(0.3)
    raise AssertionError(f"the UI does not come up:\n{log.read_text()[-3000:]}")


class Page:
    """One browser window."""

    def __init__(self, address: str, browser: webdriver.Chrome) -> None:
        self.address = address
        self.browser = browser

    def open(self, path: str) -> None:
        """Goes to a path of the UI."""
        self.browser.get(self.address + path)

    def text(self) -> str:
        """All that is to be read now."""
        return str(self.browser.execute_script("return document.body.innerText"))

    def read(self, *words: str, seconds: float = PATIENCE) -> str:
        """Waits until all the words are there. Raises AssertionError with the text."""
        deadline = time.monotonic() + seconds
        while True:
            text = self.text()
            if all(word in text for word in words):
                return text
            assert time.monotonic() < deadline, f"{words} not in\n{text}"
            time.sleep(0.2)

    def click(self, words: str, within: str = "") -> None:
        """Clicks the innermost visible element (`within` an XPath) that says exactly this."""
        path = f"{within}//*[normalize-space()='{words}']"
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                found = [e for e in self.browser.find_elements(By.XPATH, path) if e.is_displayed()]
                if found:
                    self._click(found[-1])
                    return
            except (StaleElementReferenceException, WebDriverException):
                pass
            assert time.monotonic() < deadline, f"nothing says {words!r} in\n{self.text()}"
            time.sleep(0.2)

    def click_link(self, path: str) -> None:
        """Clicks the first visible link to a page below `path`."""
        where = f"//a[contains(@href, '{path}')]"
        deadline = time.monotonic() + PATIENCE
        while not (found := self.browser.find_elements(By.XPATH, where)):
            assert time.monotonic() < deadline, f"no link to {path} in\n{self.text()}"
            time.sleep(0.2)
        self._click(found[0])

    def _click(self, element: Any) -> None:
        """Clicks also what a popover covers."""
        try:
            element.click()
        except ElementClickInterceptedException:
            self.browser.execute_script("arguments[0].click()", element)

    def materialize_all(self) -> None:
        """Does what a user does on the group's page; the run is in the queue afterwards."""
        self.open(f"{LOCATION}/asset-groups/catalog")
        self.click("Materialize all")
        self.read("Launched run")

    def launch_backfill(self, *seasons: str) -> None:
        """Chooses the seasons in the dialog of the job's page and submits them."""
        self.open(f"{LOCATION}/jobs/backfill_seasons/partitions")
        self.read("Total partitions")
        self.click("Launch backfill…")
        self.click("Select a partition or create one")
        for season in seasons:
            self.click(season)
        # A click beside the list closes it; it covers the button.
        self.click("Partitions", within="//*[@role='dialog']")
        self.click(f"Submit {len(seasons)} runs")
        self.read("Backfill status", f"{len(seasons)} partitions")

    def wait_for_seasons(self, missing: int) -> None:
        """Until the job's page counts so many seasons that were never backfilled."""
        deadline = time.monotonic() + PATIENCE
        while f"{missing} Missing partitions" not in " ".join(self.text().split()):
            assert time.monotonic() < deadline, self.text()
            self.open(f"{LOCATION}/jobs/backfill_seasons/partitions")
            self.read("Missing partitions")
            time.sleep(1)

    def wait_for_runs(self, runs: int) -> None:
        """Until the list of runs shows so many successes. Raises AssertionError on a failure."""
        self.open("/runs")
        deadline = time.monotonic() + PATIENCE
        while True:
            words = self.text().split()
            assert "Failure" not in words, self.text()
            if words.count("Success") >= runs:
                return
            assert time.monotonic() < deadline, self.text()
            time.sleep(0.5)

    def picture(self, path: Path) -> None:
        """A screenshot of the window, once it is at rest."""
        time.sleep(1.5)
        self.browser.save_screenshot(str(path))


@contextmanager
def opened(address: str, profile: Path) -> Iterator[Page]:
    """A fresh headless Chromium."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Driver(str(CHROMEDRIVER)))
    try:
        yield Page(address, browser)
    finally:
        browser.quit()
