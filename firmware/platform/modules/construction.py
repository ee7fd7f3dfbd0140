"""Builds a program for a target in SCons, with the flags, commands and golden vectors of tools/parity_matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emulated_targets import build, targets, vectors
from SCons.Subst import Literal

Environment = Any  # SCons creates the class at run time
TEST_MACROS = ("UNIT_TEST", "PIO_UNIT_TESTING")


def words(flags: list[str]) -> list[Any]:
    """Flags as literals if they contain quotes, which SCons would pass to the shell."""
    return [Literal(flag) if '"' in flag else flag for flag in flags]


def compile_each(env: Environment, target: targets.Target) -> None:
    """Gives each file its own flags, and vectors.S the golden vectors."""
    folder = Path(env.subst("$BUILD_DIR"))
    folder.mkdir(parents=True, exist_ok=True)
    golden = vectors.write("whole", folder)
    testing = "test" in env.GetBuildType()
    tests = Path(env.subst("$PROJECT_TEST_DIR")).resolve()
    env.Append(ASPPFLAGS=words([f'-DAETHER_VECTORS="{golden}"']))

    def with_own_flags(env: Environment, node: Any) -> Any:
        source = Path(node.srcnode().get_abspath())
        if testing and source.name.endswith("_main.c") and tests not in source.parents:
            return None  # a test has its own main function
        changed: dict[str, Any] = {}
        if tests not in source.parents:  # compiled once for the application and the tests
            changed["CPPDEFINES"] = [name for name in env.get("CPPDEFINES", []) if name not in TEST_MACROS]
        if source.suffix == ".c":
            changed["CFLAGS"] = [*env["CFLAGS"], *words(build.own_flags(target, source))]
        made = env.Object(node, **changed)
        if source.name == "vectors.S":
            env.Depends(made, env.File(str(golden)))
        return made

    env.AddBuildMiddleware(with_own_flags)
