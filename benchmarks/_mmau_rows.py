"""Rows of MMAU in its two shapes, the JSON of GitHub and the hub's parquet (MMAU sheet section 2)."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks._choices import has_prefixes, kimi_prompt, without_prefix, without_prefixes
from evalkit.errors import UsageError
from evalkit.files import sha256_of
from evalkit.records import Audio, Sample, Turn
from evalkit.sources import Row, Source

FILE = "mmau-test-mini.json"
GITHUB, HUB = "Sakshi113/MMAU", "gamma-lab-umd/MMAU-test-mini"
PIN = "9f18fda99f8dbc2bc5ecd6323fb5063309f54969810b5c6f1caeb3b8d904cf1c"
COUNTS = {"sound": 333, "music": 334, "speech": 333}
"""sha256 of the JSON and its rows per task (sections 1 and 2.1)."""
ToSample = Callable[[str, Row], Sample]
_ATTRIBUTES = ("task", "difficulty", "category", "sub-category", "dataset")


def _attributes(row: Row) -> dict[str, Any]:
    """The columns of the JSON, or those the hub packs into `other_attributes`, a JSON text."""
    packed = row.get("other_attributes")
    if isinstance(packed, str):
        try:
            packed = json.loads(packed)
        except ValueError as exc:
            raise UsageError(
                f"{row.where}: other_attributes is not JSON; is this MMAU's hub edition?"
            ) from exc
    return dict(packed) if isinstance(packed, Mapping) else row


def _beside(root: str) -> Path | None:
    """The JSON, when it lies in the data folder of the hub's copy (`root`)."""
    above = Path(root).parent
    places = (Path(root), above, above / "MMAU", above.parent / GITHUB, above.parent / "MMAU", above.parent)
    return None if "://" in root else next((f for p in places if (f := p / FILE).is_file()), None)


def check_edition(source: Source) -> list[str]:
    """Notes on a JSON that isn't the pinned one: "v05.15.25" was changed several times (section 2.2)."""
    if source.kind in ("smoke", "given"):  # of rows that came with predictions, the group "scored" tells
        return []
    file = next((Path(f) for _, f in source.files if Path(f).name == FILE), None) or _beside(source.root)
    if file is None:
        return [
            f"MMAU: {FILE} of GitHub {GITHUB} isn't at hand, so the string match sees the hub's options with their "
            "letters, which gives other verdicts; put it beside the data and pass --data-dir"
        ]
    if sha256_of(file) == PIN:
        return []
    counts = Counter(str(row.get("task")) for row in _by_id(file, file.stat().st_mtime_ns).values())
    found = ", ".join(f"{counts[t]} {t}" for t in COUNTS)
    return [
        f"MMAU: {FILE} is not the edition the sheet pins (sha256 {PIN[:12]}...): it holds {found}, "
        f"where {', '.join(f'{n} {t}' for t, n in COUNTS.items())} were published"
    ]


@lru_cache(maxsize=2)
def _by_id(file: Path, _changed: int) -> Mapping[str, Mapping[str, Any]]:
    try:
        return {str(r["id"]): r for r in json.loads(file.read_bytes())}
    except (ValueError, TypeError, LookupError) as exc:
        raise UsageError(f"{file} is not MMAU's JSON: a list of objects with an id") from exc


def _choices(row: Mapping[str, Any], where: str) -> list[str]:
    """The options; some copies hold them as a JSON text."""
    found = row["choices"]
    with contextlib.suppress(ValueError):
        found = json.loads(found) if isinstance(found, str) else found
    if isinstance(found, list) and all(isinstance(o, str) for o in found):
        return found
    raise UsageError(f"{where}: choices must be a list of texts; is this the edition the task expects?")


def _scored(row: Row, sample_id: str) -> tuple[Mapping[str, Any], str]:
    """The row whose question and options count, and of what shape they are."""
    if not has_prefixes(_choices(row, row.where)):
        return row, "options as in the JSON"
    file = None if row.given else _beside(row.root)
    found = _by_id(file, file.stat().st_mtime_ns).get(sample_id) if file else None
    return (found, "options from the JSON, sound from the hub") if found else (row, "options with letters")


def _question(source: Mapping[str, Any], row: Row) -> str:
    """`question` in the JSON, `instruction` on the hub; most rules do without, where a prediction came along."""
    found = source.get("question") or source.get("instruction")
    return str(found if found is not None or row.given else row["question"])


def _unwrapped(value: Any) -> Any:
    """13 rows hold their category in a list (section 2.1)."""
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def _hear(row: Row) -> Audio:
    """The hub's audio column, or the file that the JSON names, or one called by the row's id."""
    if row.get("context"):
        return row.audio("context")
    name = str(row.get("audio_id") or f"{row['id']}.wav")
    return row.locate(name, f"test-mini-audios/{Path(name).name}")


def asking(words: Callable[[str, Sequence[str]], str], *, sound_first: bool = True) -> ToSample:
    """Rows to samples that put the question in these words (section 3)."""

    def convert(task: str, row: Row) -> Sample:
        facts = _attributes(row)
        key = facts.get("id")
        source, shape = _scored(row, str(key))
        question, given, answer = _question(source, row), _choices(source, row.where), source["answer"]
        options = without_prefixes(given)
        meta: dict[str, Any] = {"question": question, "options": options}
        meta["judge_question"] = kimi_prompt(question, options)
        meta |= {k: _unwrapped(facts[k]) for k in _ATTRIBUTES if facts.get(k) is not None} | {"scored": shape}
        if options != given:
            meta["prefixed"] = {"options": given, "answer": answer}
            answer = without_prefix(str(answer), len(options))
        turn = row.turn(lambda: _hear(row), words(question, options))
        parts = turn.parts if sound_first else turn.parts[::-1]
        sample_id = row.stable_id("instruction", "question", "choices") if key is None else str(key)
        heard = str(row.get("audio_id") or "")
        return Sample(sample_id, task, (Turn("user", parts),), target=answer, meta=meta, cluster=heard)

    return convert
