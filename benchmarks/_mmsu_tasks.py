"""The 47 tasks of MMSU as its sheet lists them (section 2), for a look at data that is at hand."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.rows import parquet_library
from evalkit.sources import Source

_NAMES = """
content_grounding dialogue_turn_counting non_verbal_sound_detection speech_act_classification
disfluency_detection speech_duration_estimation accent_identification near_homophone_perception
consonant_vowel_perception plosive_sound_identification syllable_perception speech_stress_perception
prolonged_sound_perception pause_perception intonation_perception gender_prediction age_prediction
speaker_identity_recognition total_speaker_counting emotion_recognition pitch_comparison speed_comparison
vocal_range_comparison volume_comparison casual_reasoning logical_reasoning deixis_resolution
continuation_writing dialogue_reasoning code_switch_question_answering background_scene_recognition
speech_translation long_speech_summarization intent_detection couplet_matching puns_interpretation
polysemy_reasoning homophone_based_reasoning idiom_reasoning syntactic_structure_matching
intonation_based_reasoning stress_based_reasoning prolonged_sound_reasoning pause_based_reasoning
emotional_context_reasoning sarcasm_detection synthetic_speech_detection
"""
TASKS_47 = frozenset(_NAMES.split())


def check_names(source: Source) -> list[str]:
    """Notes on task names that aren't the sheet's, and on those that are missing. Own smoke data may miss some."""
    found = set(_task_names(source))
    notes = []
    if strange := sorted(found - TASKS_47):
        notes.append(
            f"MMSU: {len(strange)} task names are not among the 47 of its sheet: {', '.join(strange[:5])}"
        )
    if found and source.kind != "smoke" and (missing := sorted(TASKS_47 - found)):
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        notes.append(
            f"MMSU: {len(missing)} of its 47 tasks have no rows here: {', '.join(missing[:5])}{more}"
        )
    return notes


def _task_names(source: Source) -> Iterator[str]:
    """The task names in all files; of parquet that one column is read, without the sound."""
    for _, file in source.files:
        if not file.endswith(".parquet"):
            yield from (str(row.get("task_name")) for row in source.rows())
            return
        _, pq = parquet_library(file)
        with pq.ParquetFile(source.opener(file) if source.opener else file) as table:
            if "task_name" in table.schema_arrow.names:
                yield from map(str, table.read(columns=["task_name"]).column(0).unique().to_pylist())
