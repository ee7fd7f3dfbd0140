"""How SCons builds a program for a target: the flags, the commands and the golden vectors of tools/parity_matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emulated_targets import commands, targets, vectors
from SCons.Subst import Literal

Environment = Any  # SCons makes its own up at run time
TEST_MACROS = ("UNIT_TEST", "PIO_UNIT_TESTING")


def words(flags: list[str]) -> list[Any]:
    """Flags as they are: SCons would leave quotes to the shell."""
    return [Literal(flag) if '"' in flag else flag for flag in flags]


def compile_each(env: Environment, target: targets.Target) -> None:
    """Give every file the flags that are its own, and the golden vectors to the one that includes them."""
    folder = Path(env.subst("$BUILD_DIR"))
    folder.mkdir(parents=True, exist_ok=True)
    golden = vectors.write("whole", folder)
    testing = "test" in env.GetBuildType()
    tests = Path(env.subst("$PROJECT_TEST_DIR")).resolve()
    env.Append(ASPPFLAGS=words([f'-DAETHER_VECTORS="{golden}"']))

    def with_own_flags(env: Environment, node: Any) -> Any:
        source = Path(node.srcnode().get_abspath())
        if testing and source.name.endswith("_main.c") and tests not in source.parents:
            return None  # a test is an application of its own
        changed: dict[str, Any] = {}
        if tests not in source.parents:  # what is no test is the same for tests: compiled once
            changed["CPPDEFINES"] = [name for name in env.get("CPPDEFINES", []) if name not in TEST_MACROS]
        if source.suffix == ".c":
            changed["CFLAGS"] = [*env["CFLAGS"], *words(commands.own_flags(target, source))]
        made = env.Object(node, **changed)
        if source.name == "vectors.S":
            env.Depends(made, env.File(str(golden)))
        return made

    env.AddBuildMiddleware(with_own_flags)
