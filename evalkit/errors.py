"""What can go wrong, as types: what the user can mend, and what one request came to. Floor 2."""

from __future__ import annotations

BUDGET = "budget"
"""Kind of the error of a request that was not made because the budget is spent."""


class UsageError(Exception):
    """The user can mend this: one sentence that says what is wrong and what to do. Exit code 2."""


class MissingKey(UsageError):
    """A key that a request will need is not set: no matter as long as nothing is sent.

    Args:
        variable: the environment variable that would hold it.
    """

    def __init__(self, message: str, variable: str) -> None:
        super().__init__(message)
        self.variable = variable


class RunnerError(Exception):
    """One request failed.

    Args:
        kind: short code for counting ("http-429", "timeout", "bad-reply").
        message: one sentence for a person; never contains a key.
        retryable: try again (rate limit, server error, lost connection)?
        retry_after: seconds the server asked us to wait, if it did.
        fatal: no other request can succeed either (bad key, unreachable endpoint): stop the run.
        unsent: refused before anything was sent (a limit on audio, a file that can't be read): no call was made.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        fatal: bool = False,
        unsent: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retryable = retryable
        self.retry_after = retry_after
        self.fatal = fatal
        self.unsent = unsent
        self.attempts = 1


class OutOfMemory(RunnerError):
    """A batch did not fit: the engine halves it and goes on."""

    def __init__(self, message: str) -> None:
        super().__init__("out-of-memory", message, retryable=True)
