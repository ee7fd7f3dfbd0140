"""Builds with the host's compiler and runs the program. SCons executes this file."""

from SCons.Script import AlwaysBuild, Default, DefaultEnvironment

env = DefaultEnvironment()
program = env.BuildProgram()
Default(program)
AlwaysBuild(env.Alias("exec", program, env.VerboseAction("$PROG_PATH $PROGRAM_ARGS", "Executing $PROG_PATH")))
