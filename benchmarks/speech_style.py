"""Speech instruction-following and voice empathy on the user's own data (the three rows of Table 6).

The report's internal set is not public: the data is a manifest of one's own, the numbers compare with each
other and not with the printed ones. Rules: internal-set sheet. A model that hears (`--lalm-judge`) scores 1 to 5.
Protocols: `strict` (whole scores; no speech, or no readable score, counts as 1, counted), `vstyle` (any number
in brackets; failures leave the mean, counted), `control` (no user audio, no cue: how far the words alone carry).
Of the paralinguistic track, two numbers stand beside the score on demand (section 4): ``-O control_gap=yes`` (the score
less that of the control run on the same answers), and ``-O pair_sensitivity=yes`` (of pairs with the same words and
different cues, the share whose scores fall when their answers are swapped).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import _lalm
from evalkit.errors import UsageError
from evalkit.interfaces import Judge, Roles
from evalkit.pools import DIFFERENCE, WEIGHTED
from evalkit.records import Audio, Modality, Sample, Turn
from evalkit.sources import HubData, Row, Source
from evalkit.task import Cell, Metric, Suite, Task, Variant
from judges.lalm import DROPPED, SCORED_1
from judges.lalm_pairs import PairJudge
from judges.lalm_presets import Track, runs_of, speech_style_judge, switched_on, user_audio_of
from judges.manner import manner_of

if TYPE_CHECKING:
    from benchmarks._style_manifest import Found, Item

SETS: tuple[tuple[Track, str, str], ...] = (
    ("speech_if", "speech-if", "Speech Instruction-Following"),
    ("empathy_semantic", "empathy-semantic", "Semantics-based Empathy"),
    ("empathy_paralinguistic", "empathy-paralinguistic", "Paralinguistic-Cue-based Empathy"),
)
HEARD: Track = "empathy_paralinguistic"
"""The track whose judge hears the user: elsewhere the cue would be a label only (section 3)."""

FAILURES = 0.02
"""Share of failed judgements above which a run fails (section 5)."""

SCORE = replace(_lalm.SCORE, pool=WEIGHTED, tolerates={SCORED_1: FAILURES, DROPPED: FAILURES})
CONTROL = replace(SCORE, name="control", label="Control score", primary=False)
SMALLEST_GAP = 0.2
GAP = Metric(
    "control_gap",
    "Gap to control",
    unit="points",
    pool=DIFFERENCE,
    scale=1.0,
    lo=-4.0,
    hi=4.0,
    sources=("score", "control"),
    primary=False,
    warns_below=(
        SMALLEST_GAP,
        f"below {SMALLEST_GAP:g}, so the judge scores much the same without the user's voice and the cue, and the row "
        "measures text",
    ),
)
"""What the user's voice and the cue add to the score (section 4)."""
PAIRS = Metric("pair_sensitivity", "Pair sensitivity", pool=WEIGHTED, primary=False)
OWN = (
    "is a set of your own, which no hub has: point --data-dir to its manifest.jsonl or the folder it lies in "
    "(`run_eval.py manifest check FILE` looks at it)"
)


def to_sample(task: str, row: Row) -> Sample:
    """A line of the manifest; the model hears the earlier turns and the user's (internal-set sheet section 2)."""
    from benchmarks._style_manifest import read_item

    item = read_item(row, row.where)
    turns = [Turn("system", (item.system_prompt,))] if item.system_prompt else []
    for earlier in item.history:
        parts: tuple[str | Audio, ...] = (row.locate(earlier.audio),) if earlier.audio else (earlier.text,)
        turns.append(Turn(earlier.role, parts))
    turns.append(row.turn(lambda: row.locate(item.audio)))
    return Sample(item.id, task, tuple(turns), meta=_meta(item), cluster=str(item.speaker_id or ""))


def _meta(item: Item) -> dict[str, object]:
    told = item.model_dump(
        include={"requirements", "content", "user_state", "cue"}, exclude_none=True, exclude_defaults=True
    )
    known = {
        "question": item.transcript,
        "category": item.category,
        "language": item.language,
        "reply_language": item.reply_language or item.language,
        "weight": item.weight,
        **told,
    }
    if item.history:
        known["history"] = "\n".join(f"{e.role}: {e.text or '(spoken)'}" for e in item.history)
    return known | ({"pair_id": item.pair_id} if item.pair_id else {})


def of_track(track: Track) -> Callable[[Row], bool]:
    """Does a line belong to this track? A line without a track is everybody's, so that it is told."""
    return lambda row: row.get("track", track) == track


def look(track: Track, source: Source) -> Sequence[str]:
    """Look at the whole manifest before anything is asked. Raises UsageError with what has to be mended."""
    notes: list[str] = []
    for _, file in source.files:
        found = _checked(file, Path(file).stat().st_mtime_ns)
        if found.problems:
            more = len(found.problems) - 1
            rest = f" (and {more} more: run_eval.py manifest check {file})" if more else ""
            raise UsageError(f"{found.problems[0]}{rest}. Nothing was asked.")
        if not found.items(track):
            raise UsageError(f"{file} holds no items of the track {track}")
        notes += [
            w for w in found.warnings if source.kind != "smoke" and (track in w or " items of " not in w)
        ]
    return notes


@lru_cache(maxsize=8)
def _checked(file: str, changed: int) -> Found:
    from benchmarks._style_manifest import check

    return check(Path(file))


def _judges(track: Track, protocol: str) -> Callable[[Roles], list[Judge]]:
    def build(roles: Roles) -> list[Judge]:
        wished = user_audio_of(roles.options)
        judge = partial(
            speech_style_judge,
            track,
            roles.lalm,
            parser="official" if protocol == "vstyle" else "strict",
            on_failure="drop" if protocol == "vstyle" else "score_1",
            runs=runs_of(roles.options),
            manner=manner_of(roles, "lalm-judge"),
        )
        if protocol == "control":
            return [judge(user_audio=False, control=True)]
        scorer = judge(user_audio=track == HEARD if wished is None else wished)
        judges: list[Judge] = [scorer]
        if _asked_for(roles, track, "pair_sensitivity"):
            judges.append(PairJudge(scorer))
        if _asked_for(roles, track, "control_gap"):
            judges.append(judge(user_audio=False, control=True, metric="control"))
        return judges

    return build


def _asked_for(roles: Roles, track: Track, option: str) -> bool:
    """Does the user want this number beside the score? Only the track that hears a cue has it."""
    return switched_on(roles.options, option) and track == HEARD


def _beside(track: Track) -> Callable[[Roles], list[Metric]]:
    def numbers(roles: Roles) -> list[Metric]:
        pairs = [PAIRS] if _asked_for(roles, track, "pair_sensitivity") else []
        return [*pairs, *([CONTROL, GAP] if _asked_for(roles, track, "control_gap") else [])]

    return numbers


RULE = "A model that hears scores the speech 1 to 5 by the track's steps; weighted mean. "
RULES = {
    "strict": RULE + _lalm.WHOLE_NUMBERS,
    "vstyle": RULE + _lalm.ANY_NUMBER,
    "control": RULE
    + "As strict, but the judge neither hears the user nor knows the cue: what the words carry.",
}


def _task(track: Track, subset: str, title: str) -> Task:
    protocols = [p for p in RULES if p != "control" or track == HEARD]
    return Task(
        name=f"speech-style/{subset}",
        title=title,
        modality=Modality.S2S,
        data=HubData(
            "local/speech-style",
            files=("manifest.jsonl",),
            withdrawn=OWN,
            licence="your own",
            keep=of_track(track),
        ),
        to_sample=to_sample,
        variants={
            p: Variant(
                _judges(track, p),
                (SCORE,),
                RULES[p],
                roles=("lalm-judge",),
                beside=_beside(track) if p != "control" else None,
            )
            for p in protocols
        },
        groups=("category", "language"),
        cluster="speaker",
        cells=(Cell("6", "Internal test set", title),),
        sheet="internal-set sheet",
        languages=("en", "zh"),
        check=partial(look, track),
    )


TASKS = tuple(_task(*found) for found in SETS)

SUITES = (
    Suite("speech-style", ("speech-style/*",), "spoken style and empathy on your own manifest (Table 6)"),
)
