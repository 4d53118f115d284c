"""`gate`: hold a candidate's run against a baseline's; the exit code is the verdict."""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import UsageError

if TYPE_CHECKING:
    from evalkit.gate import Outcome, Policy


def call(args: argparse.Namespace) -> int:
    """Judge, print, write; the exit code says which verdict it is (docs/gates.md)."""
    for name in ("baseline", "candidate", "policy", "explain"):
        if (
            getattr(args, name) == ""
        ):  # a pipeline's variable that isn't set: without it another gate would be passed
            raise UsageError(f"--{name} is empty. Is the variable set that it is made of?")
    if args.write_policy:
        return _write_policy(args)
    if not args.candidate:
        raise UsageError("say which run has to pass: --candidate RUN.")
    printing = _printing(args)
    from evalkit.gate import gate

    policy = _policy(args)
    outcome = gate(
        args.baseline,
        args.candidate,
        policy,
        policy_file=Path(args.policy).name if args.policy else "",
        tasks=args.task or (),
    )
    explained = _explained(outcome, args.explain) if args.explain else None
    written = list(_write(outcome, args))
    if printing:
        sys.stdout.write(_makers()[printing](outcome))
    elif explained is not None:
        from evalkit.gate.console import write

        write(explained, sys.stdout)
    else:
        _print(outcome, written)
    return outcome.code


def _printing(args: argparse.Namespace) -> str:
    """The output that goes to standard output in place of the table ("" for none): --json, or a file called -."""
    if odd := next((o for o in ("html", "summary") if getattr(args, o) == "-"), None):
        raise UsageError(
            f"--{odd} - can't be printed; name a file (--markdown - prints the table as Markdown)."
        )
    named = {o: getattr(args, o) == "-" for o in ("junit", "markdown", "json_out")}
    asked = [o for o, given in {**named, "json_out": args.json or named["json_out"]}.items() if given]
    if len(asked) + bool(args.explain) > 1:
        raise UsageError("to standard output goes one text: --json, --explain, or one file called -.")
    return asked[0] if asked else ""


def _makers() -> dict[str, Callable[[Outcome], str]]:
    """What makes the text of an output, by its option."""
    from evalkit.gate.asjson import as_json
    from evalkit.gate.junit import junit
    from evalkit.gate.markdown import markdown

    return {"junit": junit, "markdown": markdown, "json_out": as_json}


def _policy(args: argparse.Namespace) -> Policy:
    """The policy of --policy, with what other arguments say in place of its defaults."""
    from evalkit.gate import Policy, read_policy
    from evalkit.gate.policy import PARTS

    policy = read_policy(args.policy) if args.policy else Policy()
    said: dict[str, object] = {}
    if args.margin is not None:
        said["margin"] = args.margin
    if args.on_inconclusive:
        said["on_inconclusive"] = args.on_inconclusive
    if args.allow:
        parts = [p.strip() for given in args.allow for p in given.split(",") if p.strip()]
        if unknown := [p for p in parts if p not in (*PARTS, "all")]:
            known = ", ".join((*PARTS, "all"))
            raise UsageError(
                f"a signature has no part {unknown[0]!r} to allow; there are: {known}. Check --allow."
            )
        said["allow"] = PARTS if "all" in parts else tuple(parts)
    return policy.model_copy(update={"defaults": policy.defaults.model_copy(update=said)}) if said else policy


def _print(outcome: Outcome, written: list[Path]) -> None:
    from evalkit.gate import words
    from evalkit.gate.console import print_table, write

    print_table(outcome, sys.stdout)
    files = [
        f"{'diff report' if p.suffix == '.html' else p.suffix.lstrip('.') or 'file'}: {p}" for p in written
    ]
    write(" \u00b7 ".join([words.counts(outcome), f"exit {outcome.code}", *files]), sys.stdout)


def _explained(outcome: Outcome, task: str) -> str:
    from evalkit.gate.explain import explain
    from evalkit.registry import suggestion

    rows = outcome.find(task)
    if not rows:
        names = list(dict.fromkeys(r.name for r in outcome.rows))
        there = f"{suggestion(task, names)} There are: {', '.join(names)}."
        raise UsageError(f"nothing called {task!r} is gated here.{there}")
    return "\n\n".join(explain(outcome, r) for r in rows)


def _write(outcome: Outcome, args: argparse.Namespace) -> Iterator[Path]:
    """Write what was asked for; the page is optional where nobody named it."""
    makers = _makers()
    for option, make in makers.items():
        given = getattr(args, option)
        if given and given != "-":
            yield _put(Path(given), make(outcome))
    if args.summary:
        yield _append(Path(args.summary), makers["markdown"](outcome))
    if not args.no_html:
        yield from _page(outcome, args)


def _page(outcome: Outcome, args: argparse.Namespace) -> Iterator[Path]:
    """The page. Where nobody named its place, a candidate's directory that can't be written is no failure."""
    from evalkit.gate.page import write_gate_page

    path = Path(args.html) if args.html else Path(args.candidate) / "gate.html"
    try:
        yield write_gate_page(outcome, path)
    except OSError as exc:
        blamed = Path(exc.filename or path)
        if blamed.name != path.name and blamed not in path.parents:
            raise  # something that the page shows can't be read
        if args.html or exc.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            from evalkit.linefiles import store_error

            raise store_error(path, exc) from exc
        print(
            f"note: no page is written, {path.parent} is read-only; name a place with --html.",
            file=sys.stderr,
        )


def _put(path: Path, text: str) -> Path:
    from evalkit.linefiles import write_atomically

    write_atomically(path, text)
    return path


def _append(path: Path, text: str) -> Path:
    """Add to a file that others write to as well, each in a block of its own."""
    from evalkit.linefiles import store_error

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"\n{text}" if file.tell() else text)
    except OSError as exc:
        raise store_error(path, exc) from exc
    return path


def _write_policy(args: argparse.Namespace) -> int:
    from evalkit.gate.starter import starting_policy
    from evalkit.pairs import RunSegments

    path = Path(args.write_policy)
    if path.exists() and not args.force:
        raise UsageError(f"{path} is there already; name another file, or say --force.")
    _put(path, starting_policy(RunSegments.open(args.baseline).results))
    print(
        f"{path}: a policy to start from; read it, then `gate --baseline ... --candidate ... --policy {path}`"
    )
    return 0
