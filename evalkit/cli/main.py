"""Parse arguments, call a command, turn exceptions into one sentence and an exit code."""

from __future__ import annotations

import argparse
import atexit
import errno
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from evalkit import __version__
from evalkit.cli import commands

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DISK = (*_FULL, errno.EROFS, errno.EACCES, errno.EPERM)
_PLACE = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG)
"""What is wrong with a place that somebody named: a file where a folder is meant, or the reverse."""
OK, INCOMPLETE, USAGE, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 130

EXIT_CODES = """exit codes:
  0    every sample scored
  1    finished, but samples errored or stayed unscored (the table says which)
  2    usage: bad arguments or input, rejected key, unreachable endpoint
  3    internal error, or the disk is full
  4    gate: the data cannot tell
  5    gate, compare: numbers were made in different ways
  130  interrupted; run the same command to go on
"""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="evalkit",
        description="Evaluate large audio language models, and say how every number was made.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"evalkit {__version__}")
    sub = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    commands.add_all(sub)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    try:
        args = parser().parse_args(argv)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else USAGE
    with _terms():
        try:
            args.argv = tuple(sys.argv[1:] if argv is None else argv)  # as typed, for who puts it on record
            code = int(args.call(args))
            sys.stdout.flush()
            return code
        except KeyboardInterrupt:
            print("interrupted; run the same command to go on", file=sys.stderr)
            return INTERRUPTED
        except Exception as exc:
            return _explain(exc)


def entry() -> NoReturn:
    """The process: run the command, then leave at once.

    Everything is written and closed by then; taking the interpreter down object by object would only cost
    a tenth of a second, and some native libraries crash in it.
    """
    code = main()
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


@contextmanager
def _terms() -> Iterator[None]:
    """What holds while a command runs: SIGTERM ends it like Ctrl-C, warnings are one line, all text prints."""
    from evalkit.cli.stdout import forgiving_stdout
    from evalkit.engine.signals import handlers_kept, raise_interrupt

    def one_line(message: Warning | str, *_: Any, **__: Any) -> None:
        print(f"warning: {message}", file=sys.stderr)

    with forgiving_stdout(), handlers_kept(), warnings.catch_warnings():
        warnings.showwarning = one_line
        with suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, raise_interrupt)
        yield


def _explain(exc: Exception) -> int:
    """Say what went wrong in one sentence; the exit code."""
    from evalkit.errors import RunnerError, UsageError
    from evalkit.linefiles import StoreError

    if os.environ.get("EVALKIT_DEBUG"):
        import traceback

        traceback.print_exc()
    if isinstance(exc, UsageError | RunnerError):
        print(f"error: {exc}", file=sys.stderr)
        return USAGE
    if isinstance(exc, StoreError):
        print(f"error: {exc}", file=sys.stderr)
        return INTERNAL
    if isinstance(exc, OSError) and exc.errno in _DISK and exc.filename:
        hint = "Make room" if exc.errno in _FULL else "Give it rights to be read or written"
        print(
            f"error: {exc.filename}: {exc.strerror}. {hint}, or name another place (--out); what was finished is kept.",
            file=sys.stderr,
        )
        return INTERNAL
    if isinstance(exc, OSError) and exc.errno in _PLACE and exc.filename:
        print(f"error: {exc.filename}: {exc.strerror}. Name another place.", file=sys.stderr)
        return USAGE
    if isinstance(exc, OSError) and exc.errno in _FULL:  # a write knows no name
        print(
            f"error: {exc.strerror}: what was being written is cut off. Make room, or name another place (--out), and "
            "run the same command again; what was finished is kept.",
            file=sys.stderr,
        )
        return INTERNAL
    print(
        f"internal error: {type(exc).__name__}: {exc}. Nothing that was finished is lost. "
        "Set EVALKIT_DEBUG=1 to see where it happened, and please report it.",
        file=sys.stderr,
    )
    return INTERNAL
