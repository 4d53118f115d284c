"""OpenAudioBench: spoken questions, text answers, every answer read by a judge (five rows of Tables 1 and 2).

Rules, data and what the report used: OpenAudioBench sheet. The model hears the question and nothing else.
Protocols: `report` (the public contracts; Reasoning QA is an accuracy, as the report's own numbers are; an
unreadable reply leaves its sample unscored, and the run incomplete) and `kimi-evalkit` (Kimi-Audio-Evalkit as it is:
Reasoning QA is 20 x the mean rating, unreadable replies are dropped and counted, blank cells read "nan").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks._kimi import null_word, skip_by_length
from evalkit.interfaces import Judge, Roles
from evalkit.records import Modality, Sample
from evalkit.sources import HubData, Row
from evalkit.task import Cell, Metric, Overall, Part, Suite, Task, Variant
from judges.manner import manner_of
from judges.openaudiobench import THRESHOLD, OABProtocol, oab_judge

SECTION = "OpenAudioBench (S2T)"
REPO, REVISION = "baichuan-inc/OpenAudioBench", "98f8fa0d5fa7e530ec8e6f097b55f10b003d111b"
REPORT, KIMI = "report", "kimi-evalkit"
CONTRACTS: dict[str, OABProtocol] = {REPORT: "report", KIMI: "kimi"}

GEVAL = Metric("geval", "G-Eval", unit="0-100", scale=10.0, lo=1.0, hi=10.0)
ACC = Metric("acc", "Accuracy")
SCORE20 = Metric("score20", "Mean rating x 20", unit="0-100", scale=20.0, hi=5.0)


def to_sample(question: str, reference: str, needed: bool = True) -> Callable[[str, Row], Sample]:
    """Rows of one subset's CSV; the cells go to the judge as they are. A row's audio is found by its name."""

    def convert(task: str, row: Row) -> Sample:
        asked, target = row[question], row[reference] if needed else row.get(reference)
        name = row.get("audio_filename")
        turn = row.turn(lambda: row.locate(f"audios/{name}")) if name else row.user_turn()
        key = name or row.get("id")
        sample_id = row.stable_id(question, reference) if key is None else str(key)
        # A row that ends early lacks its last cells: to pandas and to us they are empty.
        blank = "" if needed else None
        return Sample(
            sample_id,
            task,
            (turn,),
            target=blank if target is None else target,
            meta={"question": "" if asked is None else str(asked)},
        )

    return convert


def _variants(
    subset: str, metrics: tuple[Metric, ...], kimi: tuple[Metric, ...], rule: str
) -> dict[str, Variant]:
    def judges(protocol: str) -> Callable[[Roles], Sequence[Judge]]:
        def build(roles: Roles) -> Sequence[Judge]:
            threshold = int(roles.options.get("reasoning_threshold", THRESHOLD))
            return [
                oab_judge(
                    subset, roles.judge, CONTRACTS[protocol], threshold=threshold, manner=manner_of(roles)
                )
            ]

        return build

    return {
        REPORT: Variant(
            judges(REPORT), metrics, f"{rule} An unreadable reply is unscored.", roles=("judge",)
        ),
        KIMI: Variant(
            judges(KIMI),
            kimi,
            f"{rule} An unreadable reply is dropped, and the judge reads nan for a blank cell (both counted).",
            skip=skip_by_length,
            missing=null_word,
            roles=("judge",),
        ),
    }


RATED = "A judge rates the answer 1 to 10 without a reference; the score is 10 x the mean rating."
REASONED = (
    "A judge rates answer and reasoning up to 5; accuracy is the share of 4 and up, the score 20 x the mean."
)
RIGHT = "A judge says whether the answer agrees with the reference."

SETS = (
    ("alpaca-eval", "AlpacaEval", 199, "instruction", "output", (GEVAL,), (GEVAL,), RATED),
    ("llama-questions", "Llama Q.", 300, "Questions", "Answer", (ACC,), (ACC,), RIGHT),
    ("reasoning-qa", "Reasoning QA", 202, "Prompt", "参考答案", (ACC, SCORE20), (SCORE20, ACC), REASONED),
    ("trivia-qa", "TriviaQA", 1000, "question", "answer_normalized_aliases", (ACC,), (ACC,), RIGHT),
    ("web-questions", "Web Q.", 1000, "question", "answers", (ACC,), (ACC,), RIGHT),
)

TASKS = tuple(
    Task(
        name=f"openaudiobench/{name}",
        title=title,
        modality=Modality.S2T,
        data=HubData(
            REPO,
            name.replace("-", "_"),
            revision=REVISION,
            citation="GitHub baichuan-inc/Baichuan-Audio",
            files=("eval_datas/{config}/{config}.csv", "{config}/{config}.csv"),
            media=("eval_datas/{config}/audios/*",),
        ),
        to_sample=to_sample(question, reference, needed=metrics != (GEVAL,)),
        variants=_variants(name.replace("-", "_"), metrics, kimi, rule),
        expected=expected,
        cells=tuple(Cell(t, SECTION, title) for t in "12"),
        sheet="OpenAudioBench sheet",
        languages=("zh",) if name == "reasoning-qa" else ("en",),
    )
    for name, title, expected, question, reference, metrics, kimi, rule in SETS
)

OVERALLS = (
    Overall(
        "openaudiobench",
        "Overall",
        tuple(Part(t.name) for t in TASKS),
        "mean of the five scores, each rounded to two decimals",
        round_parts=2,
        cells=tuple(Cell(t, SECTION, "Overall") for t in "12"),
    ),
)

SUITES = (Suite("openaudiobench", tuple(t.name for t in TASKS), "the five subsets of Tables 1 and 2"),)
