"""Pytest hooks: a run ends with what was left out, by reason, and the command that includes it.

With AETHER_NO_SKIPS=1 a skip is a failure, except for the reasons in NOT_INSTALLABLE.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

_pip = os.path.relpath(sys.executable) + " -m pip install"
# Pattern of a skip's reason, what is missing, the command that brings it.
CAUSES = (
    (r"torch", "no torch", f"{_pip} torch"),
    (
        r"dpkt|pyserial|esptool|matplotlib|scipy|crcmod|pip install",
        "a Python package is missing",
        f"{_pip} -e '.[test]'",
    ),
    (r"extra live|selenium", "a Python package is missing", f"{_pip} -e '.[test]'"),
    (
        r"mosquitto|chromium|systemd|openssl",
        "no broker or browser",
        "apt-get install mosquitto openssl chromium chromium-driver systemd",
    ),
    (r"scikit-learn", "no scikit-learn", f"{_pip} -e '.[dev]'"),
    (
        r"install-emulators|\(package|clang|arm-none-eabi|aarch64-linux-gnu|qemu",
        "no cross compilers or emulators",
        "tools/install-emulators.sh",
    ),
    (r"recordings: none", "no real recordings", "AETHER_DATA=FOLDER ./tools/test"),
)
# What no command of this project installs: ESP-IDF (the workflow `firmware` has it), data of others, other processors.
NOT_INSTALLABLE = re.compile(r"no ESP-IDF|recordings: none|fused multiply-add|processor with -mfma")
SLOW = ("slow", "./tools/test --all")

_slow_deselected = pytest.StashKey[int]()


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    slow = sum(item.get_closest_marker("slow") is not None for item in items)
    if slow:
        config = items[0].config
        config.stash[_slow_deselected] = config.stash.get(_slow_deselected, 0) + slow
        if hasattr(config, "workeroutput"):
            config.workeroutput["slow_deselected"] = config.stash[_slow_deselected]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Every worker of pytest-xdist collects the same tests: the largest count is the count."""
    count = getattr(node, "workeroutput", {}).get("slow_deselected", 0)
    node.config.stash[_slow_deselected] = max(count, node.config.stash.get(_slow_deselected, 0))


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    found = report.longrepr
    return str(found[2] if isinstance(found, tuple) else found).removeprefix("Skipped: ")


def _fail_when_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail") and not NOT_INSTALLABLE.search(_reason(report)):
        report.longrepr = f"AETHER_NO_SKIPS: expected every test to run, found one skipped: {_reason(report)}"
        report.outcome = "failed"


if os.environ.get("AETHER_NO_SKIPS") == "1":

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        _fail_when_skipped(report)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        collector: pytest.Collector,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        _fail_when_skipped(report)
        return report


def summary(skips: Sequence[tuple[str, bool]], slow: int) -> list[str]:
    """Lines that name what was left out. `skips`: the reason of each, and whether it is that of a whole file."""
    tests: Counter[tuple[str, str]] = Counter()
    files: Counter[tuple[str, str]] = Counter()
    for reason, whole_file in skips:
        cause = next(((what, how) for pattern, what, how in CAUSES if re.search(pattern, reason)), (reason, ""))
        (files if whole_file else tests)[cause] += 1
    tests.update({SLOW: slow} if slow else {})
    lines = []
    for cause in dict.fromkeys((*tests, *files)):
        counts = [
            f"{n} {noun if n == 1 else noun + 's'}" for n, noun in ((files[cause], "file"), (tests[cause], "test")) if n
        ]
        lines.append(f"  {' and '.join(counts)}: {cause[0]}" + (f"; to include: {cause[1]}" if cause[1] else ""))
    return ["Left out:", *lines] if lines else []


@pytest.hookimpl(tryfirst=True)  # also when another hook raises
def pytest_unconfigure(config: pytest.Config) -> None:
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput") or config.option.collectonly:
        return
    skips = [(_reason(report), Path(report.nodeid).suffix == ".py") for report in reporter.stats.get("skipped", [])]
    for line in summary(skips, config.stash.get(_slow_deselected, 0)):
        reporter.write_line(line)
