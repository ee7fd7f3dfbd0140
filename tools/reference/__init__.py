"""A second implementation of docs/spec, slow and plain.

Every operation is one numpy binary32 scalar operation, in the order the specification names it. It shares no code with
the C core, so the golden vectors made from it pin the contract and not an implementation. Nothing here is installed.
"""
