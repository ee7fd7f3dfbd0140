"""Shell completion of subcommands, options, models and recordings; the number of options of the whole command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import CompletionItem, ShellComplete
from hang import HANG

from aether_temporal.cli import aether


def complete(*words: str) -> list[CompletionItem]:
    *before, incomplete = words
    return ShellComplete(aether, {}, "aether", "_AETHER_COMPLETE").get_completions(before, incomplete)


def values(*words: str) -> list[str]:
    return [item.value for item in complete(*words) if item.type == "plain"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "models").mkdir()
    for name in ("attic.rvne", "attic.npz", "walks.rvne", "models/deep.rvne", "models/notes.txt"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_completes_subcommands() -> None:
    assert values("in") == ["inspect", "init"]
    assert values("explore", "") == ["attention", "confusion", "drift", "embeddings", "recording"]


@pytest.mark.parametrize("words", [("run",), ("inspect",), ("device", "pack"), ("listen", "--model")])
def test_completes_models(folder: Path, words: tuple[str, ...]) -> None:
    assert values(*words, "a") == ["activity", "attic.rvne"]
    assert values(*words, "") == ["activity", "demo", "motion", "attic.rvne", "walks.rvne"]
    assert values(*words, os.path.join("models", "d")) == [os.path.join("models", "deep.rvne")]
    assert values(*words, os.path.join("absent", "d")) == []
    assert [item.type for item in complete(*words, "mod")] == ["dir"]


@pytest.mark.parametrize(
    "words",
    [
        ("run", "demo"),
        ("recordings",),
        ("explore", "attention", "demo"),
        ("explore", "recording"),
        ("explore", "drift", "demo"),
        ("enroll", "demo"),
    ],
)
def test_completes_recordings_as_files(folder: Path, words: tuple[str, ...]) -> None:
    assert [(item.value, item.type) for item in complete(*words, "at")] == [("at", "file")]


def test_completes_options_and_their_values() -> None:
    assert values("listen", "--b") == ["--bind"]
    assert values("run", "--dtype", "") == ["float32", "float16"]
    assert values("init", "x.rvne", "--set", "n_") == ["n_q_heads=", "n_kv_heads=", "n_layers=", "n_classes="]


@pytest.mark.skipif(os.name != "posix", reason="shells of POSIX")
def test_the_program_completes_in_bash(folder: Path) -> None:
    environment = {**os.environ, "_AETHER_COMPLETE": "bash_complete", "COMP_WORDS": "aether run w", "COMP_CWORD": "2"}
    command = [sys.executable, "-c", "from aether_temporal.cli import main; main()"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANG, check=False)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["dir,w", "plain,walks.rvne"], "")


MOST = 190
TRAINING_MOST = 47
"""Of `train` and `gate` together; everything else about a training is in its configuration file."""


def options(command: click.Command, context: click.Context, path: str = "") -> Iterator[tuple[str, str]]:
    """Command and option, for every option of every command that has no subcommands."""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from options(found, context, f"{path} {name}".strip())
    else:
        yield from ((path, option.opts[0]) for option in command.params if isinstance(option, click.Option))


def test_the_command_line_has_few_options() -> None:
    found = list(options(aether, click.Context(aether)))
    assert len(found) <= MOST
    assert len([path for path, _ in found if path.split()[0] in ("train", "gate")]) <= TRAINING_MOST
