"""A second implementation of docs/spec, slow and plain.

Every operation is one numpy binary32 scalar operation, in the order the specification names it. It shares no code with
the C core, so the golden vectors made from it pin the contract and not an implementation. Nothing here is installed.
"""


class Rejected(Exception):
    """An operation for which the specification gives a status code instead of a result.

    status: the name of the core's status code."""

    def __init__(self, status: str, why: str = "") -> None:
        super().__init__(f"{status}: {why}" if why else status)
        self.status = status
