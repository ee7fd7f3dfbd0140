"""Flags that library.json cannot say: by file on a computer, by processor on a chip. PlatformIO runs this."""

import platform

from SCons.Node.FS import File
from SCons.Script import Import

Import("env")
env = globals()["env"]  # where SCons put it

# Other processors compile these files to nothing.
OWN_FLAGS = {
    "avx2.c": ["-mavx2", "-mf16c"],
    "avx512.c": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"],
}


def with_own_flags(env, node):
    if not isinstance(node, File):
        return node  # the project compiles it in a way of its own
    flags = OWN_FLAGS.get(node.srcnode().name)
    return env.Object(node, CCFLAGS=[*env["CCFLAGS"], *flags]) if flags else node


if env.PioPlatform().is_embedded():
    env.Append(CPPDEFINES=["AETHER_PORTABLE_ONLY"])  # a chip's flash is dear
elif env["PIOPLATFORM"] == "native" and platform.machine() in ("x86_64", "AMD64"):
    env.AddBuildMiddleware(with_own_flags)
