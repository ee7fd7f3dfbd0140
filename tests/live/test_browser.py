"""The page in a real browser without a window: two widths, light and dark, hostile names, recordings, a week."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from listening.wire import classification, raw
from live.serving import Nodes, frames, wait_until

pytest.importorskip("aiohttp", reason="aiohttp (extra live) is not installed")
pytest.importorskip("prometheus_client", reason="prometheus-client (extra live) is not installed")
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402

from aether_temporal.listening import NodeTable, PacketReceiver  # noqa: E402
from aether_temporal.live.page_server import PageServer  # noqa: E402
from aether_temporal.live.recording_desk import RecordingDesk  # noqa: E402
from aether_temporal.live.state import BIN_SECONDS  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="chromium or chromium-driver is not installed"),
]
WIDTHS = {"desk": (1280, 900), "phone": (360, 740)}
HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
LONG = "W" * 300
HIDDEN = "\u202egnp.exe\u0000"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-extensions"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    yield found
    found.quit()


class Shown:
    """A page in the browser, of nodes that a test sends."""

    def __init__(
        self, browser: Any, folder: Path, names: tuple[str, ...] = ("sit", "walk"), token: str | None = None
    ) -> None:
        self.browser, self.nodes = browser, Nodes(names=names)
        self.desk = RecordingDesk(folder, ("127.0.0.1", 5005), self.nodes.clock)
        self.nodes.observers.append(self.desk.arrived)
        self.server = PageServer(self.nodes.state, self.desk, "127.0.0.1", 0, token=token)
        self.nodes.state.sinks.append(self.server)

    def open(self, width: str = "desk", scheme: str = "light") -> None:
        wide, high = WIDTHS[width]
        size = {"width": wide, "height": high, "deviceScaleFactor": 1, "mobile": width == "phone"}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        self.browser.get_log("browser")
        self.browser.get(self.server.url)

    def run(self, script: str, *arguments: object) -> Any:
        return self.browser.execute_script(script, *arguments)

    def text(self, of: str) -> str:
        return str(self.browser.find_element(By.CSS_SELECTOR, of).text)

    def wait(self, condition: Callable[[], object]) -> None:
        """Shows a view until it holds."""

        def holds() -> object:
            self.nodes.show()
            return condition()

        wait_until(holds)

    def feed(self, node: int = 3, count: int = 40, moving: float = 0.05, first: int = 0) -> None:
        for i, values in enumerate(frames(count, moving)):
            self.nodes.send(
                raw(node, first + i, values), classification(node, first + i, argmax=i // 20 % 2, classes=2)
            )
            if i % 10 == 9:
                self.nodes.show()

    def close(self) -> None:
        self.browser.get("about:blank")
        self.server.close()


@pytest.fixture
def shown(browser: Any, tmp_path: Path) -> Iterator[Shown]:
    found = Shown(browser, tmp_path / "kept")
    yield found
    found.close()


PIXELS = """
const canvas = document.querySelector(arguments[0]);
const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
const seen = new Set();
for (let i = 0; i < data.length; i += 4) if (data[i + 3]) seen.add(data.slice(i, i + 3).join());
return seen.size;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_and_shows_what_there_is(shown: Shown, width: str, scheme: str) -> None:
    shown.feed(3)
    shown.feed(7)
    shown.open(width, scheme)
    shown.wait(lambda: "node 7" in shown.text("#nodes"))
    shown.wait(lambda: shown.run(PIXELS, "#csi") > 10)
    text = shown.text("#nodes")
    for wanted in ("node 3", "10.0.0.1", "walk", "an hour ago", "-40 dBm", "0 % (0)", "for 0 s, as the node says"):
        assert wanted in text
    assert shown.text("#link") == "live"
    assert "2 nodes · 160 packets" in shown.text("#totals")
    assert shown.text("#legend").split() == ["sit", "walk"]
    shown.wait(lambda: shown.run(PIXELS, ".node canvas") >= 3)
    across, wide = shown.run("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert across <= wide
    outside = shown.run(
        "return [...document.querySelectorAll('body *')]"
        ".filter((e) => { const at = e.getBoundingClientRect(); return at.x + at.width > innerWidth + 1; })"
        ".map((e) => e.tagName + e.className)"
    )
    assert outside == []
    small = shown.run(
        "return [...document.querySelectorAll('button, input')]"
        ".filter((e) => e.offsetParent && e.offsetHeight < 36).length"
    )
    assert small == 0  # large enough for a thumb
    red, green, blue = shown.run("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (red + green + blue > 600) == (scheme == "light")
    assert contrast_of(shown) >= 4.5


def contrast_of(shown: Shown) -> float:
    """The least contrast between a text and what is behind it (WCAG), of all texts of the page."""
    script = """
    const light = (rgb) => rgb.map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const colour = (text) => text.match(/[\\d.]+/g).map(Number);
    let least = 99;
    for (const e of document.querySelectorAll("body *")) {
      const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
      if (!own || !e.offsetParent || e.closest(".silent")) continue;
      let behind = e;
      while (behind && (colour(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) behind = behind.parentElement;
      const a = light(colour(getComputedStyle(e).color).slice(0, 3));
      const b = light(colour(getComputedStyle(behind || document.body).backgroundColor).slice(0, 3));
      least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
    }
    return least;
    """
    return float(shown.run(script))


def test_asks_no_other_host_and_breaks_no_rule_of_its_policy(shown: Shown) -> None:
    shown.feed()
    shown.open()
    shown.wait(lambda: "walk" in shown.text("#nodes") or "sit" in shown.text("#nodes"))
    asked = shown.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert asked
    assert all(name.startswith(shown.server.url) for name in asked)
    assert shown.browser.get_log("browser") == []
    blocked = shown.run(
        "try { document.body.innerHTML = '<p>x'; return false; } catch (error) { return error instanceof TypeError; }"
    )
    assert blocked  # the policy forbids markup even to the page's own script


@pytest.mark.parametrize("name", [HOSTILE, LONG, HIDDEN])
def test_a_hostile_name_stays_a_name(browser: Any, tmp_path: Path, name: str) -> None:
    shown = Shown(browser, tmp_path / "kept", (name, name))
    shown.feed()
    shown.desk._last = name
    shown.open("phone")
    shown.wait(lambda: shown.browser.find_elements(By.CSS_SELECTOR, ".node"))
    shown.wait(lambda: shown.run("return document.querySelector('.node .name').textContent") == name)
    assert shown.run("return document.querySelectorAll('#legend li')[1].textContent") == name
    assert shown.run("return document.querySelector('#recorded').textContent").startswith(name)
    assert shown.run("return document.querySelectorAll('img, script:not([src])').length") == 0
    assert shown.browser.title == "aether: live"
    across, wide = shown.run("return [document.documentElement.scrollWidth, window.innerWidth]")
    assert across <= wide
    assert shown.browser.get_log("browser") == []
    shown.close()


def test_the_token_opens_the_page_and_stays_known(browser: Any, tmp_path: Path) -> None:
    shown = Shown(browser, tmp_path, token="correct-horse-battery")
    shown.feed()
    shown.open("phone", "dark")
    for given, where in (("wrong", ""), ("correct-horse-battery", "login")):
        wait_until(lambda where=where: browser.current_url == shown.server.url + where)
        wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, "form button"))
        browser.find_element(By.NAME, "token").send_keys(given)
        browser.find_element(By.CSS_SELECTOR, "button").click()
    shown.wait(lambda: browser.find_elements(By.CSS_SELECTOR, ".node"))
    assert browser.current_url == shown.server.url
    shown.open()
    shown.wait(lambda: shown.text("#link") == "live")
    browser.delete_all_cookies()
    shown.close()


def test_another_node_is_chosen_with_a_click(shown: Shown) -> None:
    shown.feed(3)
    shown.feed(7)
    shown.open()
    shown.wait(lambda: "node 3 at 10.0.0.1" in shown.text("#csi-node"))
    shown.browser.find_elements(By.CSS_SELECTOR, ".node")[1].click()
    shown.wait(lambda: "node 7 at 10.0.0.1" in shown.text("#csi-node"))
    shown.wait(lambda: shown.run(PIXELS, "#csi") > 10)
    pressed = [each.get_attribute("aria-pressed") for each in shown.browser.find_elements(By.CSS_SELECTOR, ".node")]
    assert pressed == ["false", "true"]


def test_records_from_the_page(shown: Shown, tmp_path: Path) -> None:
    shown.feed()
    shown.open("phone")
    shown.wait(lambda: "Recordings go to" in shown.text("#recorded"))
    form = shown.browser.find_element(By.ID, "record")
    form.find_element(By.NAME, "label").send_keys("walk")
    form.find_element(By.CSS_SELECTOR, "button[value=start]").click()
    shown.wait(lambda: "recording recording-" in shown.text("#recorded"))
    shown.feed(first=40)
    shown.wait(lambda: "40 frames" in shown.text("#recorded"))
    field = form.find_element(By.NAME, "label")
    field.clear()
    field.send_keys("walk fast")
    form.find_element(By.CSS_SELECTOR, "button[value=label]").click()
    wait_until(lambda: shown.desk.document()["label"] == "walk fast")
    form.find_element(By.CSS_SELECTOR, "button[value=stop]").click()
    shown.wait(lambda: "Recordings go to" in shown.text("#recorded"))
    (file,) = (tmp_path / "kept").glob("*.pcap")
    assert (tmp_path / "kept" / "recordings.csv").read_text() == f"file,label\n{file.name},walk fast\n"
    assert form.find_element(By.CSS_SELECTOR, "button[value=start]").is_displayed()
    assert not form.find_element(By.CSS_SELECTOR, "button[value=stop]").is_displayed()


def test_an_error_of_a_recording_is_shown(shown: Shown, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file in the way")
    shown.open()
    shown.wait(lambda: "Recordings go to" in shown.text("#recorded"))
    shown.browser.find_element(By.CSS_SELECTOR, "button[value=start]").click()
    shown.wait(lambda: "kept: File exists" in shown.text("#record-error"))


def test_connects_again_when_the_server_is_back(shown: Shown) -> None:
    shown.feed()
    shown.open()
    shown.wait(lambda: shown.text("#link") == "live")
    where = shown.server.where
    shown.server.close()
    wait_until(lambda: shown.text("#link") == "not connected: is the server running?")
    shown.nodes.state.sinks.clear()
    shown.server = PageServer(shown.nodes.state, shown.desk, *where)
    shown.nodes.state.sinks.append(shown.server)
    shown.wait(lambda: shown.text("#link") == "live")


def test_a_page_that_stays_open_does_not_grow(shown: Shown) -> None:
    """After hundreds of parts of the hour, rows, and nodes that come and go, as much is kept as before."""
    shown.nodes.receiver = PacketReceiver(NodeTable(max_nodes=32), on_arrival=shown.nodes._arrived)
    shown.feed(count=400)
    shown.open()
    shown.wait(lambda: "node 3" in shown.text("#nodes"))

    def kept() -> dict[str, int]:
        shown.browser.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
        found: dict[str, int] = shown.run(
            "return {cards: cards.size, rows: rows.length, hour: [...cards.values()][0].hour.length,"
            " elements: document.querySelectorAll('*').length}"
        )
        return found | {"heap": int(shown.browser.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"])}

    def rounds(number: int) -> None:
        for i in range(200):
            first = (number * 200 + i) * 2
            shown.nodes.clock.now += BIN_SECONDS
            shown.nodes.send(*(raw(3, 400 + first + k, bytes([40, 0] * 64)) for k in (0, 1)))
            node = f"10.1.{number}.{i}"
            shown.nodes.send(*(raw(4, k, bytes(24)) for k in range(3)), address=node)
            shown.nodes.show()
            seen = shown.nodes.state._number
            if i % 20 == 19:  # the page takes it
                shown.wait(lambda seen=seen: shown.run("return heard") and shown.nodes.state._number > seen)
        shown.wait(lambda: shown.run("return cards.size") == len(shown.nodes.view().nodes))

    rounds(0)
    rounds(1)
    before = kept()
    for number in (2, 3, 4, 5):
        rounds(number)
    after = kept()
    assert after["cards"] <= 32
    assert after["rows"] <= 300
    assert after["hour"] == 360
    assert after["elements"] <= before["elements"] * 1.2
    assert after["heap"] <= before["heap"] * 1.5 + 2_000_000
