"""aether parity"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import click

from aether_temporal import kernels
from aether_temporal._internal.kernels import choose
from aether_temporal.device.compare import Comparison, compare, host_run
from aether_temporal.device.conversation import fetch_report
from aether_temporal.device.port import SerialPort
from aether_temporal.errors import InvalidArgumentError
from aether_temporal.host.golden import GoldenReport, golden_files, run_golden

from .options import json_option
from .output import console, print_json, quantity, say, table

_SHOWN = 10


@click.command("parity")
@click.option("--kernels", "variant", help="Check this kernel variant only. [default: all that this processor can run]")
@click.option(
    "--golden", type=click.Path(exists=True, file_okay=False), help="Folder of golden files. [default: the package's]"
)
@click.option("--port", help="Check the board on this serial port, such as /dev/ttyACM0.")
@click.option("--baud", type=click.IntRange(min=300), default=115200, show_default=True, help="Speed of the port.")
@click.option("--reset", is_flag=True, help="Reset the board first, by the port's RTS line.")
@click.option("--target", "targets", multiple=True, help="Check an emulated target, or `all`; repeatable.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    variant: str | None,
    golden: str | None,
    port: str | None,
    baud: int,
    reset: bool,
    targets: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compute the golden vectors on this host with each kernel variant, and compare all bits.

    With --port: on the board at that port, which runs the parity application, compared with this host. With --target:
    on emulated chips, from a source checkout.

    The exit status is 1 when a bit differs; the output names the case and the element.
    """
    _one_of(ctx, {"port": port, "targets": targets, "variant": variant})
    _only_with(ctx, "port", port, ("baud", "reset"))
    if targets and golden is not None:
        raise click.UsageError("--golden: expected without --target, which uses the vectors of the checkout")
    if targets:
        ctx.exit(_run_matrix(targets, as_json))
    choose(None)  # reports a wrong AETHER_KERNELS
    files = golden_files(golden)
    if port is not None:
        ctx.exit(_check_board(files, port, baud, reset, as_json))
    variants = kernels() if variant is None else (variant,)
    reports = [run_golden(data, name, file) for name in variants for file, data in files]
    passed = all(report.passed for report in reports)
    if as_json:
        print_json(document(reports))
    else:
        print_reports(reports)
    ctx.exit(0 if passed else 1)


def _flag(ctx: click.Context, name: str) -> str:
    return next(param.opts[0] for param in ctx.command.params if param.name == name)


def _one_of(ctx: click.Context, given: dict[str, Any]) -> None:
    names = [_flag(ctx, name) for name, value in given.items() if value]
    if len(names) > 1:
        raise click.UsageError(f"expected one of {', '.join(names)}, found several")


def _only_with(ctx: click.Context, needed: str, value: object, names: tuple[str, ...]) -> None:
    for name in names:
        if not value and ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{_flag(ctx, name)}: expected with {_flag(ctx, needed)}, found without it")


def find_checkout(start: Path | None = None) -> Path:
    """The source checkout around `start` (None: the working directory), else the one that this package runs from.

    InvalidArgumentError when there is none.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents, *Path(__file__).resolve().parents):
        if (folder / "tools" / "parity").is_file() and (folder / "firmware" / "targets").is_dir():
            return folder
    raise InvalidArgumentError(
        f"--target: expected a source checkout, which holds the emulated targets, in {here} or above it, found none; "
        "run this command in a clone of the repository"
    )


def _run_matrix(targets: tuple[str, ...], as_json: bool) -> int:
    """Runs tools/parity of the source checkout; its output and exit status are passed on."""
    checkout = find_checkout()
    known = ["all", *tomllib.loads((checkout / "firmware" / "targets" / "targets.toml").read_text(encoding="utf-8"))]
    unknown = [name for name in targets if name not in known]
    if unknown:
        raise click.UsageError(f"--target: expected one of {', '.join(known)}, found {', '.join(unknown)}")
    command = [sys.executable, str(checkout / "tools" / "parity")]
    for name in targets:
        command += ["--target", name]
    if not as_json:
        return subprocess.run(command, check=False).returncode
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "parity.json"
        with subprocess.Popen([*command, "--json", str(result)], stdout=subprocess.PIPE, encoding="utf-8") as tool:
            assert tool.stdout is not None
            for line in tool.stdout:
                click.echo(line, err=True, nl=False)
        code = tool.returncode
        if result.exists():
            print_json({"passed": code == 0, "rows": json.loads(result.read_text(encoding="utf-8"))})
    return code


def _check_board(files: list[tuple[str, bytes]], name: str, baud: int, reset: bool, as_json: bool) -> int:
    host = host_run(files)
    with SerialPort(name, baud) as port:
        report = fetch_report(port, reset=reset, notify=lambda text: say(text, err=True))
    comparison = compare(report, host)
    if as_json:
        print_json({"port": name, **comparison.as_json()})
    else:
        print_comparison(comparison)
    return 0 if comparison.identical else 1


def print_comparison(comparison: Comparison) -> None:
    """Prints host and chip side by side, one column per variant of the chip, then the differences."""
    out = console()
    host, report = comparison.host, comparison.report
    variants = report.kernels()
    shown = table("", ">this host", *(f">{report.chip} ({kernels})" for kernels in variants))
    shown.add_row("core", host.core, *([report.core] * len(variants)))
    shown.add_row("vectors", f"{quantity(host.bytes)} bytes", *([f"{quantity(report.bytes)} bytes"] * len(variants)))
    shown.add_row("their CRC-32", host.crc, *([report.crc] * len(variants)))
    for what, words in (("cases", "cases"), ("checks", "checks"), ("compared", "values compared")):
        chip = [quantity(report.total(what, kernels)) for kernels in variants]
        shown.add_row(words, quantity(host.total(what)), *chip)
    shown.add_row("failed checks", quantity(host.total("failed")), *(str(report.total("failed", k)) for k in variants))
    if report.stack_size:
        stack = f"{quantity(report.stack)} of {quantity(report.stack_size)} bytes"
        shown.add_row("stack used", "", *([stack] * len(variants)))
    out.print(shown)
    for difference in comparison.differences[:_SHOWN]:
        out.print(difference)
    if len(comparison.differences) > _SHOWN:
        out.print(f"… and {len(comparison.differences) - _SHOWN} more")
    out.print("All bits equal." if comparison.identical else "NOT equal.")


def document(reports: list[GoldenReport]) -> dict[str, Any]:
    return {
        "passed": all(report.passed for report in reports),
        "machine": platform.machine(),
        "reports": [
            {
                "kernels": report.kernels,
                "file": report.file,
                "passed": report.passed,
                "cases": report.cases,
                "checks": len(report.checks),
                "values": report.compared,
                "failures": [check._asdict() for check in report.failures],
            }
            for report in reports
        ],
    }


def print_reports(reports: list[GoldenReport]) -> None:
    """Prints one row per variant, then the failures."""
    out = console()
    shown = table("kernels", ">cases", ">checks", ">values compared", "result")
    for name in dict.fromkeys(report.kernels for report in reports):
        mine = [report for report in reports if report.kernels == name]
        failed = sum(len(report.failures) for report in mine)
        shown.add_row(
            name,
            quantity(sum(report.cases for report in mine)),
            quantity(sum(len(report.checks) for report in mine)),
            quantity(sum(report.compared for report in mine)),
            f"{failed} checks FAILED" if failed or not all(r.passed for r in mine) else "all bits equal",
        )
    out.print(shown)
    failures = [(report, check) for report in reports for check in report.failures]
    for report, check in failures[:_SHOWN]:
        out.print(f"{report.kernels}, {report.file}: {check}")
    if len(failures) > _SHOWN:
        out.print(f"… and {len(failures) - _SHOWN} more")
