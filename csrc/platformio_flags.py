"""Leaves the vector kernels out on a chip, which library.json cannot say. PlatformIO runs this."""

from SCons.Script import Import

Import("env")
env = globals()["env"]  # where SCons put it

if env.PioPlatform().is_embedded():
    env.Append(CPPDEFINES=["AETHER_PORTABLE_ONLY"])
