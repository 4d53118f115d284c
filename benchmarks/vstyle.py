"""VStyle: how a model speaks when it is told how to, or when the user's mood asks for it (Table 5).

Rules, data and weights: VStyle sheet. The model hears the spoken instruction and nothing else; a model that
hears (`--lalm-judge`) scores its speech 1 to 5 by the decision tree of the ability's category.
Protocols: `official` (any number in brackets counts; a failed judgement leaves the mean, counted),
`strict` (whole scores 1 to 5; a response without speech, or a judge that stays unreadable, counts as 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from benchmarks import _lalm
from evalkit.errors import UsageError
from evalkit.interfaces import Judge, Roles
from evalkit.pools import Strata
from evalkit.records import Modality, Sample
from evalkit.sources import HubData, Row
from evalkit.task import Cell, Suite, Task, Variant
from judges.lalm_presets import NAMED_AUDIO, runs_of, user_audio_of, vstyle_judge
from judges.manner import manner_of
from judges.vstyle_votes import INFINITE, NOT_A_NUMBER

ROWS = {
    "acoustic_attributes/age": ("Acoustic Attributes", "Age", 1 / 48),
    "acoustic_attributes/speed": ("Acoustic Attributes", "Speed", 1 / 48),
    "acoustic_attributes/gender": ("Acoustic Attributes", "Gender", 1 / 48),
    "acoustic_attributes/emotion": ("Acoustic Attributes", "Emotion", 1 / 48),
    "acoustic_attributes/pitch": ("Acoustic Attributes", "Pitch", 1 / 48),
    "acoustic_attributes/volume": ("Acoustic Attributes", "Volume", 1 / 48),
    "acoustic_attributes/composite_properties": ("Acoustic Attributes", "Composite", 1 / 8),
    "instruction/emotion": ("Instruction", "Emotion", 1 / 12),
    "instruction/style": ("Instruction", "Style", 1 / 12),
    "instruction/variation": ("Instruction", "Variation", 1 / 12),
    "role_play/scenario": ("Role-Play", "Scenario", 1 / 8),
    "role_play/character": ("Role-Play", "Character", 1 / 8),
    "empathy/anger": ("Empathy", "Anger", 1 / 16),
    "empathy/sadness_disappointment": ("Empathy", "Sadness", 1 / 16),
    "empathy/anxiety_fear": ("Empathy", "Anxiety", 1 / 16),
    "empathy/joy_excitement": ("Empathy", "Joy", 1 / 16),
}
"""Ability to its row of Table 5 (section, name) and its weight in the overall. VStyle sheet section 2."""

ID = ("id", "instruct_id")
TEXT = ("instruct_text", "instruction", "transcript", "text", "prompt")
AUDIO = ("audio", "instruction_audio", "instruct_audio", "instruction_audio_path", "audio_path", "file_name")
"""Columns that may hold the spoken instruction: what the published data calls it is not known."""

SPOKEN_PERSONA = "spoken-persona"
"""The report gives the model a persona here, beside the prompt for spoken answers. Paper sheet section 4."""

SCORE = replace(
    _lalm.SCORE,
    strata=Strata("ability", {ability: weight for ability, (_, _, weight) in ROWS.items()}),
    spoils=(INFINITE,),
    spoils_alone=(NOT_A_NUMBER,),
)


def to_sample(task: str, row: Row) -> Sample:
    """A row of the data, or of the public scorer's evaluation input (VStyle sheet section 1.1)."""
    ability = row["ability"]
    if not isinstance(ability, str) or "/" not in ability:
        raise UsageError(f"{row.where}: ability must read category/sub-category, not {ability!r}")
    words = row[_first(row, TEXT) or TEXT[0]]
    column = next((c for c in AUDIO if row.get(c)), None)
    if column is None and not row.given:
        found = ", ".join(map(str, row))
        raise UsageError(f"{row.where} has no spoken instruction in {', '.join(AUDIO)} (found: {found})")
    key = _first(row, ID)
    sample_id = str(row[key]) if key else row.stable_id("ability", _first(row, TEXT) or TEXT[0])
    meta = {"question": words, "ability": ability, "category": ability.partition("/")[0]}
    if row.get("instruct_id") is not None:
        meta["instruct_id"] = row["instruct_id"]
    if row.get("instruction_audio_path"):
        meta[NAMED_AUDIO] = True
    turn = row.turn(partial(row.audio_near, row[column], column) if column else None)
    return Sample(sample_id, task, (turn,), meta=meta, setting=SPOKEN_PERSONA)


def _first(row: Row, columns: Sequence[str]) -> str | None:
    return next((c for c in columns if row.get(c) not in (None, "")), None)


def _variants(language: str) -> dict[str, Variant]:
    def judges(protocol: str) -> Callable[[Roles], list[Judge]]:
        official = protocol == "official"

        def build(roles: Roles) -> list[Judge]:
            return [
                vstyle_judge(
                    language,
                    roles.lalm,
                    parser="official" if official else "strict",
                    on_failure="drop" if official else "score_1",
                    runs=runs_of(roles.options),
                    user_audio=user_audio_of(roles.options),
                    manner=manner_of(roles, "lalm-judge"),
                )
            ]

        return build

    rule = "A model that hears scores the speech 1 to 5; the mean of 16 abilities, weighted. "
    return {
        "official": Variant(
            judges("official"),
            (SCORE,),
            rule + _lalm.ANY_NUMBER,
            roles=("lalm-judge",),
        ),
        "strict": Variant(
            judges("strict"),
            (SCORE,),
            rule + _lalm.WHOLE_NUMBERS,
            roles=("lalm-judge",),
        ),
    }


def _task(language: str, name: str) -> Task:
    return Task(
        name=f"vstyle/{language}",
        title=f"VStyle {name}",
        modality=Modality.S2S,
        data=HubData(
            "zhanjun/VStyle",
            config=language,
            splits=(language,),
            citation="arXiv 2509.09716",
            files=("{config}/metadata.jsonl", "data/{config}/metadata.jsonl", "{config}/*.parquet"),
            media=("{config}/**",),
        ),
        to_sample=to_sample,
        variants=_variants(language),
        groups=("ability", "category"),
        cells=(
            Cell("5", "Overall", "Overall", language=language),
            *(
                Cell("5", section, row, language=language, group=("ability", ability))
                for ability, (section, row, _) in ROWS.items()
            ),
        ),
        sheet="VStyle sheet",
        languages=(language,),
    )


TASKS = (_task("en", "English"), _task("zh", "Chinese"))

SUITES = (Suite("vstyle", ("vstyle/*",), "how it speaks when told to, English and Chinese (Table 5)"),)
