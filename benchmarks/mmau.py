"""MMAU test-mini v05.15.25: questions about sounds, music and speech with options (row MMAU of Table 3).

Rules, data and what the report used: MMAU sheet. Protocols: `kimi-evalkit` (what the report's authors point to:
a judge; string match and letters beside it), `official` (string match by sets of words) and `strict` (our own
letter-or-option rule). The data is the pinned JSON of GitHub with `test-mini-audios/`, or, by --data-repo, the hub's
parquet, whose options carry letters: where the JSON lies in the same --data-dir, questions and options are taken
from there and only the sound from the hub; else the string match is made on the options with their letters, which
gives other verdicts (sheet section 4.3). The group "scored" says which it was.
"""

from __future__ import annotations

from benchmarks._choices import kimi_prompt, lmms_prompt, no_words, report_prompt
from benchmarks._kimi import null_word, skip_by_length
from benchmarks._mmau_rows import FILE, GITHUB, HUB, PIN, asking, check_edition
from evalkit.interfaces import Judge, Roles
from evalkit.pools import Strata
from evalkit.records import Modality
from evalkit.sources import HubData
from evalkit.task import Cell, Metric, Suite, Task, Variant
from judges.choices import StrictChoice
from judges.manner import manner_of
from judges.mmau_choice import mmau_judge
from judges.token_set import TokenSet


def _macro(source: str, name: str, label: str) -> Metric:
    """The mean of sound, music and speech; at most 0.07 points from the average over all (section 4.2)."""
    return Metric(name, label, sources=(source,), strata=Strata("task"), decimals=1, primary=False)


ACC = Metric("acc", "Accuracy", decimals=1)
MACRO = _macro("acc", "acc_macro", "Accuracy (mean of sound, music, speech)")
STRING = Metric("string_match", "Accuracy (string match)", decimals=1, primary=False)
LETTER_AWARE = Metric("letter_aware", "Accuracy (letter or option, not official)", decimals=1, primary=False)


def kimi(roles: Roles) -> list[Judge]:
    """The judge, and beside it the two rules that need none."""
    return [mmau_judge(roles.judge, manner=manner_of(roles)), TokenSet(), StrictChoice("letter_aware")]


VARIANTS = {
    "kimi-evalkit": Variant(
        kimi,
        (ACC, MACRO, STRING, LETTER_AWARE),
        "A judge compares the answer with the right option; string match and letters are scored beside it.",
        skip=skip_by_length,
        missing=null_word,
        roles=("judge",),
    ),
    "official": Variant(
        lambda roles: [TokenSet("acc"), StrictChoice("letter_aware")],
        (ACC, MACRO, LETTER_AWARE),
        "All words of the right option occur and none that only other options have; a missing answer is left out "
        "of the value and wrong in its lower bound.",
    ),
    "strict": Variant(
        lambda roles: [StrictChoice("acc")],
        (ACC, MACRO),
        "One letter or one option's text must be named; an answer that can't be read, or is missing, is wrong.",
        missing=no_words,
    ),
}

to_sample = asking(report_prompt)

TASKS = (
    Task(
        name="mmau/test-mini",
        title="MMAU",
        modality=Modality.S2T,
        data=HubData(
            GITHUB,
            citation=f"GitHub {GITHUB}",
            files=(FILE,),
            media=("test-mini-audios/*",),
            pins={FILE: PIN},
            mirrors=(HubData(HUB),),
            hosted=False,
        ),
        to_sample=to_sample,
        variants=VARIANTS,
        expected=1000,
        groups=("task", "difficulty", "sub-category", "category", "scored"),
        cluster="audio",
        cells=(Cell("3", "Audio Understanding", "MMAU"),),
        sheet="MMAU sheet",
        prompts={
            "report": to_sample,
            "kimi": asking(kimi_prompt, sound_first=False),
            "lmms-eval": asking(lmms_prompt),
        },
        check=check_edition,
    ),
)

SUITES = (Suite("mmau", ("mmau/test-mini",), "MMAU test-mini, as in Table 3"),)
