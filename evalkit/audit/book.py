"""What audits found, kept in the run: ``RUN/audit/*.json``, one file per question asked; asked again, it is replaced.

Field by field: docs/judge-audit.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit import __version__
from evalkit.audit.figures import Figure
from evalkit.audit.shelf import Verdicts
from evalkit.linefiles import write_atomically
from evalkit.records import JSON, digest_of

AUDIT_VERSION = 1
FOLDER = "audit"
AUDITS = ("humans", "judges", "repeats", "probes")
CSV_COLUMNS = (
    *("task", "metric", "judge", "against", "audit", "subset", "statistic"),
    *("value", "ci_low", "ci_high", "n", "note"),
)
SAMPLE_COLUMNS = (
    *("task", "metric", "audit", "sample_id", "judge", "against", "first", "second", "difference"),
    *("question", "target", "answer", "replies_first", "replies_second"),
)

Page = dict[str, Any]


def page(
    audit: str,
    subject: Verdicts,
    figures: Sequence[Figure],
    sentences: Sequence[str],
    *,
    against: str = "",
    n: int = 0,
    samples: Sequence[Mapping[str, JSON]] = (),
    differing: int = 0,
    **more: JSON,
) -> Page:
    """One audit as data.

    Args:
        subject: the judge that is audited.
        against: whom with: another judge's signature, or people.
        samples: on which they differ, the farthest apart first; `differing`: how many there are in all.
        more: what else belongs to this kind of audit.
    """
    return {
        "v": AUDIT_VERSION,
        "evalkit": __version__,
        "audit": audit,
        "task": subject.task,
        "metric": subject.metric,
        "judge": subject.judge,
        "against": against,
        "n": n,
        "sentences": list(sentences),
        "figures": [f.to_json() for f in figures],
        **more,
        "n_differing": differing,
        "samples": [dict(s) for s in samples],
    }


def name_of(found: Page) -> str:
    """File name of a page: the same question gives the same one."""
    key = [found[k] for k in ("audit", "task", "metric", "judge", "against")] + [found.get("about") or ""]
    task = re.sub(r"[^\w.-]+", "_", str(found["task"]), flags=re.ASCII)
    return f"{found['audit']}_{task}_{digest_of(key)[:8]}.json"


def write(root: Path, found: Page) -> Path:
    """Keep a page in the run. Raises StoreError."""
    path = root / FOLDER / name_of(found)
    write_atomically(path, json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return path


def read(root: Path) -> list[Page]:
    """The pages of a run, by kind of audit, task and file name; files that hold none are passed over."""
    found = []
    for path in sorted((root / FOLDER).glob("*.json")):
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            if value["v"] == AUDIT_VERSION and value["audit"] in AUDITS and _whole(value):
                found.append(value)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return sorted(found, key=lambda p: (AUDITS.index(p["audit"]), str(p["task"]), name_of(p)))


def _whole(value: Page) -> bool:
    """Has it what readers rely on? Raises KeyError, TypeError, ValueError."""
    figures_of(value)
    texts = all(isinstance(value[k], str) for k in ("task", "metric", "judge"))
    lists = all(isinstance(x, dict) for k in ("samples", "probes") for x in value.get(k) or [])
    return texts and lists and isinstance(value["n"], int) and isinstance(value["sentences"], list)


def figures_of(found: Page) -> list[Figure]:
    """The figures of a page. Raises KeyError, TypeError, ValueError."""
    return [Figure.from_json(f) for f in found["figures"]]


def csv_rows(pages: Sequence[Page]) -> Iterator[list[Any]]:
    """A row per figure, in the order of `CSV_COLUMNS`."""
    for p in pages:
        for f in figures_of(p):
            ci = f.ci or (None, None)
            head = [p["task"], p["metric"], p["judge"], p.get("against") or "", p["audit"]]
            yield [*head, f.subset, f.name, f.value, *ci, f.n, f.note]


def sample_rows(pages: Sequence[Page]) -> Iterator[list[Any]]:
    """A row per sample on which an audit's two sides differ, in the order of `SAMPLE_COLUMNS`."""
    for p in pages:
        for s in p.get("samples") or ():
            head = [
                p["task"],
                p["metric"],
                p["audit"],
                s.get("sample_id"),
                p["judge"],
                p.get("against") or "",
            ]
            yield [*head, *(s.get(k) for k in SAMPLE_COLUMNS[6:])]
