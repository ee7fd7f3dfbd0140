"""What the reference refuses, by the name of the core's status code."""


class Refused(Exception):
    """An operation that the specification answers with a status code instead of a result."""

    def __init__(self, status: str, why: str = "") -> None:
        super().__init__(f"{status}: {why}" if why else status)
        self.status = status
