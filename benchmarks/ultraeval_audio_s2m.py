"""UltraEval-Audio as S2M: text and speech of one and the same answer, each scored (Table 7).

Rules: duplex sheet sections 1 and 2. S2M-T scores the model's own text, S2M-S the transcript of its speech; sets,
rules and judge are those of `ultraeval_audio`. Protocols: `report` (an answer that lacks its text or its speech is
wrong there, and rated 1: denominators stay full) and `official` (the public scorer's: it leaves the mean, counted;
a blank reference matches everything, counted).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.ultraeval_audio import (
    ACC,
    GEVAL,
    SETS,
    SPEECH,
    Reads,
    speech_judges,
    speech_on_request,
    to_sample,
)
from evalkit.interfaces import Judge, Roles
from evalkit.records import Modality
from evalkit.sources import HubData
from evalkit.task import Cell, Metric, Overall, Part, Suite, Task, Variant
from judges.llm_presets import chatbot_judge
from judges.manner import manner_of
from judges.missing import OrMissing
from judges.qa_match import ExistMatch

SECTION = "Knowledge Understanding"
COLUMNS: tuple[tuple[str, str, Reads], ...] = (("s2m_t", "S2M-T", "text"), ("s2m_s", "S2M-S", "speech"))


def _metrics(of: Metric) -> tuple[Metric, ...]:
    return (*(replace(of, name=name, label=label) for name, label, _ in COLUMNS), *SPEECH)


def _matches(roles: Roles, protocol: str) -> list[Judge]:
    blank, missing = ("match", None) if protocol == "official" else ("unscored", 0.0)
    return [OrMissing(ExistMatch(reads, blank, name), missing) for name, _, reads in COLUMNS]  # type: ignore[arg-type]


def _ratings(roles: Roles, protocol: str) -> list[Judge]:
    missing = None if protocol == "official" else 1.0
    return [
        OrMissing(chatbot_judge(roles.judge, reads=reads, manner=manner_of(roles), metric=name), missing)
        for name, _, reads in COLUMNS
    ]


MATCHED = (
    "Right when the words of a reference stand one after another in the text (S2M-T), in the speech (S2M-S)."
)
RATED = "A judge rates the text (S2M-T) and the speech (S2M-S) 1 to 10; the score is 10 x the mean rating."


def _variants(rated: bool) -> dict[str, Variant]:
    build, rule = (_ratings, RATED) if rated else (_matches, MATCHED)
    roles = ("judge", "asr") if rated else ("asr",)

    def judges(protocol: str) -> Callable[[Roles], Sequence[Judge]]:
        return lambda r: [*build(r, protocol), *speech_judges(r)]

    tails = {
        "report": f" What is missing {'is rated 1' if rated else 'is wrong'}.",
        "official": " What is missing leaves the mean (counted)."
        + ("" if rated else " A blank reference always matches (counted)."),
    }
    return {
        p: Variant(
            judges(p), _metrics(GEVAL if rated else ACC), rule + tail, roles=roles, beside=speech_on_request
        )
        for p, tail in tails.items()
    }


TASKS = tuple(
    Task(
        name=f"ultraeval-audio/{subset}-s2m",
        title=f"{title} (S2M)",
        modality=Modality.S2S,
        data=HubData(repo, citation="GitHub OpenBMB/UltraEval-Audio"),
        to_sample=to_sample(reference, needed=metric is ACC),
        variants=_variants(metric is GEVAL),
        expected=expected,
        cells=tuple(Cell("7", SECTION, title, printed=label, metric=name) for name, label, _ in COLUMNS),
        sheet="Duplex sheet",
    )
    for subset, title, repo, reference, expected, _, metric, _ in SETS
)

OVERALLS = tuple(
    Overall(
        f"ultraeval-audio-s2m-{label[-1].lower()}",
        f"Avg. ({label})",
        tuple(Part(t.name, metric=name) for t in TASKS),
        f"mean of the four {label} scores, each rounded to two decimals",
        round_parts=2,
        cells=(Cell("7", SECTION, "Avg.", printed=label),),
    )
    for name, label, _ in COLUMNS
)

SUITES = (Suite("ultraeval-audio-s2m", tuple(t.name for t in TASKS), "the S2M rows of Table 7"),)
