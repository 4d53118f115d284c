"""`prompts`: the judges' rubrics, what public texts they stand for, and the import of those."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from evalkit.cli import wording
from evalkit.cli.listing import table
from evalkit.errors import UsageError
from evalkit.registry import catalogue, suggestion
from evalkit.wording import store
from evalkit.wording.extras import EXTRAS
from evalkit.wording.search import Found, Search, search
from evalkit.wording.wanted import Wanted
from judges.official import IMPORT, official_rubric, public_texts, state_of, wanted_texts
from judges.prompts import Rubric, StandsFor, load_rubric, rubric_file, rubric_names, user_rubric

Row = dict[str, Any]


FOUND, NOTHING = 0, 1
BESIDE = {"style_separation": "manifest separate", "audit_pairwise": "judge-audit probes"}
"""Rubrics that no task uses, and who does."""


def call(args: argparse.Namespace) -> int:
    """Do what was asked; the exit code."""
    names: list[str] = args.names
    if args.what is None:
        raise UsageError(
            "say what to do: prompts list (all rubrics), prompts show NAME, prompts import PATH (the public texts of "
            "a toolkit), or prompts verify (what is kept of those)."
        )
    if args.what == "import":
        if not names:
            raise UsageError(
                "say where to look: run_eval.py prompts import PATH (a checkout, a file or an archive)"
            )
        return bring(names, json_out=args.json)
    if args.what == "show":
        if len(names) != 1:
            raise UsageError(
                f"name one rubric: run_eval.py prompts show NAME; there are: {', '.join(rubric_names())}"
            )
        return show(names[0], args)
    if names:
        raise UsageError(f"prompts {args.what} takes no names, not {' '.join(names)}")
    return listed(json_out=args.json) if args.what == "list" else verify(json_out=args.json)


def _print(found: object) -> None:
    print(json.dumps(found, indent=1, ensure_ascii=False))


# --- list ----------------------------------------------------------------------------------------


def listed(*, json_out: bool) -> int:
    """Print every rubric: what it is, what it stands for, whether that is there, and who uses it."""
    users = uses()
    rows = [_described(load_rubric(name), users.get(name, [])) for name in rubric_names()]
    if json_out:
        _print(rows)
        return FOUND
    print(
        table(
            [
                {
                    "rubric": r["name"],
                    "role": r["role"],
                    "hash": r["hash"],
                    "placeholders": ", ".join(r["placeholders"]),
                    "official text": _official_cell(r["stands_for"]),
                    "used by": _users_cell(r["used_by"]) or BESIDE.get(r["name"], ""),
                }
                for r in rows
            ]
        )
    )
    return FOUND


def _described(rubric: Rubric, users: Sequence[tuple[str, str]]) -> Row:
    return {
        "name": rubric.name,
        "role": rubric.role,
        "placeholders": list(rubric.placeholders),
        "contract": rubric.contract,
        "hash": rubric.text_hash,
        "label": rubric.label,
        "stands_for": [_public(p) for p in rubric.stands_for],
        "used_by": [{"task": task, "protocol": protocol} for task, protocol in users],
    }


def _public(public: StandsFor) -> Row:
    return {
        "what": public.what,
        "sha256": public.sha256,
        "source": public.source,
        "protocol": public.protocol or None,
        "fill": public.fill,
        "imported": state_of(public) not in ("missing", "altered"),
    }


def _official_cell(stands_for: Sequence[Row]) -> str:
    if not stands_for:
        return "none: stays ours"
    return ", ".join(f"{p['sha256'][:8]} {'imported' if p['imported'] else 'missing'}" for p in stands_for)


def _users_cell(users: Sequence[Row]) -> str:
    """Benchmarks with their protocols."""
    held: dict[str, list[str]] = {}
    for user in users:
        protocols = held.setdefault(user["task"].partition("/")[0], [])
        if user["protocol"] not in protocols:
            protocols.append(user["protocol"])
    return "; ".join(f"{name} ({', '.join(protocols)})" for name, protocols in held.items())


def uses() -> dict[str, list[tuple[str, str]]]:
    """(task, protocol) of everything that uses a rubric, by its name."""
    out: dict[str, list[tuple[str, str]]] = {}
    for task in catalogue().tasks.values():
        for protocol in task.variants:
            for name, _ in dict.fromkeys(wording.needed([task], protocol)):
                out.setdefault(name, []).append((task.name, protocol))
    return out


# --- show ----------------------------------------------------------------------------------------


def show(name: str, args: argparse.Namespace) -> int:
    """Print one rubric as it is: ours and a user's with their head, an official text bare."""
    if name not in (known := rubric_names()):
        told = suggestion(name, list(known)) or f" There are: {', '.join(known)}."
        raise UsageError(f"no judge rubric {name!r}.{told} `run_eval.py prompts list` shows them all.")
    ours, whose = load_rubric(name), args.prompts or "own"
    if whose == "official":
        rubric = _official(ours, args.protocol)
        text = rubric.body
    elif whose == "own":
        rubric, text = ours, rubric_file(name)
    else:
        wording.chosen(args)
        rubric = user_rubric(whose, name)
        text = (Path(whose) / f"{name}.j2").read_text(encoding="utf-8-sig")
    text = rubric.body + "\n" if args.body and whose != "official" else text
    if args.json:
        _print({"name": name, "label": rubric.label, "system": rubric.system, "text": text})
    else:
        sys.stdout.write(text)
    return FOUND


def _official(ours: Rubric, protocol: str | None) -> Rubric:
    """The imported text. Raises UsageError."""
    several = [s.protocol for s in ours.stands_for if s.protocol]
    if several and protocol not in several:
        raise UsageError(
            f"{ours.name} stands for several texts: add --protocol {' or --protocol '.join(several)}"
        )
    found = official_rubric(ours, protocol or "")
    if found is None:
        raise UsageError(f"{ours.name} stands for no public text; it stays ours under --prompts official")
    return found


# --- import --------------------------------------------------------------------------------------


def wanted() -> list[Wanted]:
    """Everything that an import looks for."""
    return [*wanted_texts(), *EXTRAS]


def bring(paths: Sequence[str], *, json_out: bool) -> int:
    """Look for official texts below these paths and store them. 0: found some; 1: none. Raises UsageError."""
    store.folder()  # before anything is looked for: somebody has to know where it is
    looked = search([Path(p) for p in paths], wanted())
    state = {f.sha256: "imported" if store.keep(f.text) else "already there" for f in looked.found.values()}
    missing = [w for w in wanted() if _state(w.sha256) != "ok"]
    if json_out:
        _print(
            {
                "found": [_found_row(f, state[f.sha256]) for f in looked.found.values()],
                "missing": [{"sha256": w.sha256, "what": w.what, "source": w.source} for w in missing],
                "files": looked.files,
                "too_large": looked.large,
                "unreadable": looked.unreadable,
                "cut_off": looked.cut_off or None,
                "store": str(store.folder()),
            }
        )
        return FOUND if looked.found else NOTHING
    _tell(looked, state)
    _tell_missing(missing)
    return FOUND if looked.found else NOTHING


def _found_row(found: Found, state: str) -> Row:
    return {
        "sha256": found.sha256,
        "what": found.what,
        "state": state,
        "file": found.file,
        "line": found.line,
        "name": found.name,
        "differs": found.how or None,
    }


def _tell(looked: Search, state: dict[str, str]) -> None:
    found = f"{len(looked.found)} official texts" if looked.found else "no official text"
    kept = f"; they are kept in {store.folder()}" if looked.found else ""
    print(f"{found} found in {looked.files:,} files{kept}")
    if looked.found:
        rows = [
            {
                "sha256": f.sha256[:8],
                "text": f.what,
                "state": state[f.sha256],
                "found in": f"{f.file}:{f.line}" + (f" {f.name}" if f.name else ""),
                "how it differs there": f.how or "not at all",
            }
            for f in looked.found.values()
        ]
        print(table(rows))
    for line in looked.notes():
        print(f"note: {line}", file=sys.stderr)


def _tell_missing(missing: Iterable[Wanted]) -> None:
    sources: dict[str, list[str]] = {}
    for one in missing:
        sources.setdefault(one.source, []).append(f"{one.what} ({one.sha256[:8]})")
    if not sources:
        print("\nnothing is missing")
        return
    print(
        f"\nstill missing {sum(map(len, sources.values()))}; each comes with its toolkit (repository@commit):"
    )
    for source, texts in sources.items():
        print(f"  {source}")
        for text in texts:
            print(f"    {text}")


# --- verify --------------------------------------------------------------------------------------


def _state(sha256: str) -> str:
    """ "ok", "missing" or "altered"."""
    try:
        return "missing" if store.read(sha256) is None else "ok"
    except UsageError:
        return "altered"


def verify(*, json_out: bool) -> int:
    """Check every stored text, and say which benchmarks can be judged in official words. 1: something is wrong."""
    texts = [_checked(p) for p in public_texts().values()]
    texts += [_unrendered(w.sha256, w.what, _state(w.sha256)) for w in EXTRAS]
    known = {t["sha256"] for t in texts}
    for sha256 in store.stored():
        if sha256 not in known:  # of another version of this project, say
            state = _state(sha256)
            texts.append(_unrendered(sha256, "", "not known here" if state == "ok" else state))
    covered = coverage()
    wrong = [t for t in texts if t["state"] not in ("ok", "missing", "not known here")]
    if json_out:
        _print({"store": str(store.folder()), "texts": texts, "coverage": covered})
        return NOTHING if wrong else FOUND
    print(f"{store.folder()}\n")
    print(table([{**t, "sha256": t["sha256"][:8]} for t in texts]))
    print("\nwhat can be judged in official words (--prompts official)\n")
    print(table([_coverage_line(c) for c in covered]))
    for text in wrong:
        print(
            f"wrong: {store.path_of(text['sha256'])}: {text['state']}; delete it, then {IMPORT}",
            file=sys.stderr,
        )
    return NOTHING if wrong else FOUND


def _unrendered(sha256: str, what: str, state: str) -> Row:
    return {"sha256": sha256, "text": what, "state": state, "rendered": ""}


def _coverage_line(row: Row) -> Row:
    """One line of the table: the first task and how many more."""
    first, *more = row["tasks"]
    return {
        "tasks or suite": first + (f" and {len(more)} more" if more else ""),
        "protocol": row["protocol"],
        "state": row["state"],
        "texts": row["texts"],
        "stay ours": len(row["ours"]),
        "missing": ", ".join(m["sha256"][:8] for m in row["missing"]),
    }


def _checked(public: StandsFor) -> Row:
    state = state_of(public)
    return {
        "sha256": public.sha256,
        "text": public.what,
        "state": state,
        "rendered": ("checked" if public.rendered else "no digest published") if state == "ok" else "",
    }


def coverage() -> list[Row]:
    """By task (those together that take the same texts) and protocol, then by suite: which texts are missing."""
    found = catalogue()
    rows: list[Row] = []
    for benchmark in dict.fromkeys(n.partition("/")[0] for n in found.tasks):
        tasks = [t for n, t in found.tasks.items() if n.partition("/")[0] == benchmark]
        for protocol in dict.fromkeys(p for t in tasks for p in t.variants):
            alike: dict[tuple[tuple[str, str], ...], list[str]] = {}
            for task in (t for t in tasks if protocol in t.variants):
                asked = tuple(dict.fromkeys(wording.needed([task], protocol)))
                alike.setdefault(asked, []).append(task.name)
            rows += [_covered(names, protocol, asked) for asked, names in alike.items() if asked]
    for suite in found.suites.values():
        needed = wording.needed(found.select(list(suite.tasks)), None)
        if asked := tuple(dict.fromkeys(needed)):
            rows.append(_covered([f"suite {suite.name}"], "default", asked))
    return rows


def _covered(what: Sequence[str], protocol: str, asked: Sequence[tuple[str, str]]) -> Row:
    public = {p.sha256: p for name, under in asked if (p := load_rubric(name).public(under)) is not None}
    missing = [{"sha256": p.sha256, "what": p.what} for p in public.values() if state_of(p) != "ok"]
    ours = [name for name, under in asked if load_rubric(name).public(under) is None]
    state = "ours only" if not public else "incomplete" if missing else "complete"
    return {
        "tasks": list(what),
        "protocol": protocol,
        "state": state,
        "texts": len(public),
        "ours": ours,
        "missing": missing,
    }
