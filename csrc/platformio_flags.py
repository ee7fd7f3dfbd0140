"""What library.json cannot say: a chip gets no vector kernels, whose code would only take flash. PlatformIO runs this."""

from SCons.Script import Import

Import("env")
env = globals()["env"]  # where SCons put it

if env.PioPlatform().is_embedded():
    env.Append(CPPDEFINES=["AETHER_PORTABLE_ONLY"])
