"""Runs a test program in the emulator of its target and reads its report. PlatformIO finds this file by its name.

A program that ends without its closing line has failed, however it ended; so has one that says nothing of any test, one
whose lines are damaged or missing, and one that has not ended in time.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
from platformio.public import TestCase, TestRunnerBase, TestStatus
from platformio.test.exception import UnitTestError
from platformio.test.runners.readers.native import NativeTestOutputReader

MODULES = Path(__file__).resolve().parent.parent / "platform" / "modules"
if str(MODULES) not in sys.path:
    sys.path.insert(0, str(MODULES))

from emulated_targets import emulation, targets  # noqa: E402


class EmulatorReader(NativeTestOutputReader):
    """Hands the program to the emulator of the environment's board; without a board, to this computer."""

    def get_testing_command(self) -> list[str]:
        runner = self.test_runner
        env = runner.test_suite.env_name
        hosted = next(target.name for target in targets.all_targets() if target.hosted)
        board = runner.project_config.get(f"env:{env}", "board", None) or hosted
        built = Path(runner.project_config.get("platformio", "build_dir"), env)
        programs = [built / name for name in ("firmware.elf", "firmware.wasm", "program", "program.exe")]
        program = next((path for path in programs if path.is_file()), None)
        if program is None:
            raise UnitTestError(f"{built}: expected one of {', '.join(path.name for path in programs)}, found none")
        seconds = runner.project_config.get(f"env:{env}", "custom_seconds", str(emulation.SECONDS))
        return [sys.executable, str(MODULES / "emulate.py"), board, str(program), "--seconds", seconds]


class Reading:
    """What the lines of one program say."""

    def __init__(self) -> None:
        self.parity = emulation.Report()  # of a program that runs golden vectors
        self.tests = 0
        self.failed = 0
        self.taken = 0
        self.notes: list[str] = []
        self.ended = False

    def case(self, name: str, passed: bool) -> TestCase:
        self.tests += 1
        self.failed += not passed
        message, self.notes = "; ".join(self.notes) or None, []
        return TestCase(name, TestStatus.PASSED if passed else TestStatus.FAILED, message)

    def take(self, line: emulation.Line) -> TestCase | None:
        """The test that this line ends. ReportError when it has no place here."""
        if self.ended:
            raise emulation.ReportError(f"{line.kind!r} comes after the closing line")
        self.taken += 1
        values = line.values
        self.ended = line.kind == "end"
        if line.kind == "check":
            self.notes.append(" ".join(f"{key}={value}" for key, value in values.items()))
        elif line.kind == "test":
            checks, failed = int(values["checks"]), int(values["failed"])
            if checks == 0:
                self.notes.append("checks nothing")
            return self.case(values["name"], checks > 0 and failed == 0)
        elif "tests" in values:
            said = (int(values["tests"]), int(values["failed_tests"]), int(values["lines"]))
            if said != (self.tests, self.failed, self.taken):
                raise emulation.ReportError(
                    "the closing line counts {} tests, {} failed, {} lines; ".format(*said)
                    + f"{self.tests}, {self.failed}, {self.taken} arrived"
                )
        else:
            return self._take_parity(line)
        return None

    def _take_parity(self, line: emulation.Line) -> TestCase | None:
        self.parity.take(line)
        if line.kind == "fail":
            self.notes.append(str(self.parity.failures[-1]))
        if line.kind == "file":
            file = self.parity.files[-1]
            name = f"{file.kernels} golden file {file.index}, {file.checks} checks, {file.compared} words"
            return self.case(name, file.status == "OK" and file.failed == 0 and file.compared > 0)
        if line.kind == "end":
            self.parity.check()
        return None


class CustomTestRunner(TestRunnerBase):
    def setup(self) -> None:
        self.reading = Reading()
        self.wrong: list[str] = []

    def stage_testing(self) -> None:
        if self.options.without_testing:
            return
        click.secho("Testing...", bold=True)
        ended_badly = None
        try:
            EmulatorReader(self).begin()
        except UnitTestError as error:
            ended_badly = error
        if self._testing_output_buffer:  # no newline behind it
            self.on_testing_line_output(self._testing_output_buffer)
        if self.wrong:
            raise UnitTestError("; ".join(self.wrong))
        if not self.reading.ended:
            raise UnitTestError(f"the program ended without its closing line ({ended_badly or 'exit code 0'})")
        if self.reading.tests == 0:
            raise UnitTestError("the program ran no test")
        if ended_badly and not self.reading.failed:
            raise ended_badly

    def on_testing_line_output(self, line: str) -> None:
        lines = emulation.read_lines(line)
        if len(lines) != len(re.findall(r"aether [a-z]+ ", line)):
            self.wrong.append(f"damaged line {line.strip()[:120]!r}")
        for each in lines:
            try:
                case = self.reading.take(each)
            except (emulation.ReportError, KeyError, ValueError) as error:
                self.wrong.append(f"{error} ({line.strip()[:120]!r})")
                continue
            if case is not None:
                self.test_suite.add_case(case)
                click.echo(f"{self.test_suite.env_name}:{self.test_suite.test_name}\t{case.humanize()}")
        if not lines or self.options.verbose:
            click.echo(line, nl=False)
