"""aether parity"""

from __future__ import annotations

import platform
from typing import Any

import click

from aether_temporal import kernels
from aether_temporal._kernels import choose
from aether_temporal.golden import GoldenReport, golden_files, run_golden

from .options import json_option
from .output import console, print_json, quantity, table

_SHOWN = 10


@click.command("parity")
@click.option("--kernels", "variant", help="One kernel variant only. [default: every one this processor can run]")
@click.option(
    "--golden", type=click.Path(exists=True, file_okay=False), help="Folder of golden files. [default: the package's]"
)
@json_option
@click.pass_context
def command(ctx: click.Context, variant: str | None, golden: str | None, as_json: bool) -> None:
    """Compute the golden vectors on this host, with each kernel variant, and compare all bits.

    Exit status 1 when a single bit differs; the case and element are named.
    """
    choose(None)  # a wrong AETHER_KERNELS would stop every other command, and must not look right here
    files = golden_files(golden)
    variants = kernels() if variant is None else (variant,)
    reports = [run_golden(data, name, file) for name in variants for file, data in files]
    passed = all(report.passed for report in reports)
    if as_json:
        print_json(document(reports))
    else:
        print_reports(reports)
    ctx.exit(0 if passed else 1)


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
    """One row a variant; then what failed."""
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
