"""Adds this project's flags to PlatformIO's environment `native`, which builds for the host."""

import sys
from pathlib import Path

from SCons.Script import Import

Import("env")
env = globals()["env"]  # set by SCons

sys.path.insert(0, str(Path(env.subst("$PROJECT_DIR"), "platform", "modules")))

from construction import compile_each  # noqa: E402
from emulated_targets import build, targets  # noqa: E402

(target,) = (each for each in targets.all_targets() if each.hosted)
env.Append(
    CFLAGS=[flag for flag in build.flags(target) if flag != "-Werror"],  # the host may have any compiler
    CCFLAGS=["-O2"],
    CPPPATH=[str(folder) for folder in build.runtime_includes(target)],
)
compile_each(env, target)
