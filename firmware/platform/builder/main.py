"""Builds with the compiler of a target and runs in its emulator. SCons executes this file."""

import subprocess
import sys
from pathlib import Path

from SCons.Script import Action, AlwaysBuild, Default, DefaultEnvironment

env = DefaultEnvironment()
modules = Path(env.PioPlatform().get_dir(), "modules")
if str(modules) not in sys.path:
    sys.path.insert(0, str(modules))

from construction import compile_each  # noqa: E402
from emulated_targets import build, sizes, targets  # noqa: E402

name = env.get("BOARD", "")
by_name = {each.name: each for each in targets.all_targets() if not each.hosted}
if name not in by_name:
    sys.stderr.write(f"Error: board: expected one of {', '.join(by_name)}, found {name or 'none'}\n")
    env.Exit(1)
target = by_name[name]
level = env.GetProjectOption("custom_level", "-Os")
if level not in targets.LEVELS:
    sys.stderr.write(f"Error: custom_level: expected one of {', '.join(targets.LEVELS)}, found {level}\n")
    env.Exit(1)

if target.missing():
    needs = ", ".join(target.missing())
    sys.stderr.write(f"Error: {name} needs {needs}; run tools/install-emulators.sh.\n")
    env.Exit(1)


def steps(lines: list[build.Command]) -> list[object]:
    """Several commands that PlatformIO displays as one."""
    if env.get("CCCOMSTR"):
        return [Action([line], "Compiling $TARGET" if not i else None) for i, line in enumerate(lines)]
    return [Action([line]) for line in lines]


env.Replace(
    CC=build.compiler(target)[0],
    CFLAGS=build.flags(target),
    CCFLAGS=[level],
    CCCOM=steps(build.compile_c(target, ["$CFLAGS", "$CCFLAGS", "$_CCCOMCOM"], "$SOURCE", "${TARGET}", level)),
    ASPPFLAGS=[],
    ASPPCOM=steps(build.assemble(target, ["$ASPPFLAGS", "$_CPPINCFLAGS"], "$SOURCE", "${TARGET}")),
    LINKCOM=[build.link(target, ["$LINKFLAGS", "$SOURCES", "$_LIBDIRFLAGS", "$_LIBFLAGS"], "$TARGET")],
    LIBPATH=[],
    PROGNAME="firmware",
    PROGSUFFIX=".wasm" if target.recipe == "llvm-wasm" else ".elf",
)
env.Append(CPPPATH=[str(folder) for folder in build.runtime_includes(target)])
compile_each(env, target)

folders: dict[Path, list[str]] = {}
for source in build.runtime_sources(target):
    folders.setdefault(source.parent, []).append(f"+<{source.name}>")
for folder, names in folders.items():
    env.BuildSources(str(Path("$BUILD_DIR", "board", folder.name)), str(folder), ["-<*>", *names])

program = env.BuildProgram()
if (target.folder / "link.ld").exists():
    env.Depends(program, str(target.folder / "link.ld"))


def show_size(target: object, source: object, env: object) -> None:
    found = sizes.measure(Path(str(target[0])))
    print(f"{found.code} bytes of code, {found.constants} of constants, {found.variables} of variables")


def run(target: object, source: object, env: object) -> int:
    command = [sys.executable, str(modules / "emulate.py"), name, str(source[0])]
    return subprocess.run(command, check=False).returncode


env.AddPostAction(program, env.VerboseAction(show_size, "Measuring $TARGET"))
Default(program)
AlwaysBuild(env.Alias("exec", program, env.VerboseAction(run, f"Running $SOURCE ({target.emulator[0]})")))
