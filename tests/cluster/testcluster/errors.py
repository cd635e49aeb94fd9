"""The error of the test cluster: what went wrong, and what to do or read next."""


class ClusterError(Exception):
    """A cluster, tool or image could not be made ready; `hint` is a command to run or a log to read."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\nhint: {self.hint}" if self.hint else message
