"""Errors that travel between processes as data, so that they arrive as what they were raised as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evalkit.errors import OutOfMemory, RunnerError, UsageError


class Lost(Exception):
    """The process of a replica is gone, or does not answer any more; the words say what is known of it."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """An exception of a runner. Exceptions themselves are not sent: another package's may not survive the way.

    Attributes:
        sort: which exception it was; "crash" is any that a runner should not raise.
        message: its words.
        kind, retryable, retry_after, fatal, unsent: as of `RunnerError`; of a crash, `kind` is the exception's name.
    """

    sort: Literal["usage", "runner", "memory", "crash"]
    message: str
    kind: str = ""
    retryable: bool = False
    retry_after: float | None = None
    fatal: bool = False
    unsent: bool = False

    @classmethod
    def of(cls, exc: BaseException) -> Trouble:
        """What was raised, as data."""
        if isinstance(exc, UsageError):
            return cls("usage", str(exc))
        if isinstance(exc, RunnerError):
            sort: Literal["memory", "runner"] = "memory" if isinstance(exc, OutOfMemory) else "runner"
            return cls(
                sort,
                exc.message,
                exc.kind,
                exc.retryable,
                exc.retry_after,
                fatal=exc.fatal,
                unsent=exc.unsent,
            )
        return cls("crash", str(exc), type(exc).__name__)

    def error(self) -> UsageError | RunnerError:
        """What to raise for it where a sample was asked."""
        if self.sort == "usage":
            return UsageError(self.message)
        if self.sort == "memory":
            return OutOfMemory(self.message)
        if self.sort == "crash":
            return RunnerError("runner-crash", f"{self.kind}: {self.message[:300]}")
        return RunnerError(
            self.kind,
            self.message,
            retryable=self.retryable,
            retry_after=self.retry_after,
            fatal=self.fatal,
            unsent=self.unsent,
        )
