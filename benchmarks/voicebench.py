"""VoiceBench: spoken requests, text answers (12 subsets; rows of Tables 1 and 2).

Rules, data and what the report used: VoiceBench sheet. Protocols: `kimi-evalkit` (the report's: LLM judge
for open answers and letters, refusal strings as written), `official` (MatthewCYM/VoiceBench: three votes,
letter templates with a random letter on a miss), and `strict` where the official rule draws at random:
the same rule, but an answer that can't be read is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from benchmarks._kimi import skip_by_length
from evalkit.interfaces import Judge, Roles
from evalkit.pools import VOTES, mean_of_means
from evalkit.records import Modality, Sample
from evalkit.sources import HubData, Row
from evalkit.task import Cell, Metric, Overall, Part, Suite, Task, Variant
from judges.bbh import BBH, chain_of
from judges.fill import Fill
from judges.ifeval import IFEval
from judges.ifeval.pools import FINAL, LOOSE_INSTRUCTION, LOOSE_PROMPT, STRICT_INSTRUCTION, STRICT_PROMPT
from judges.llm_presets import JudgeProtocol, mcq_judge, open_judge, qa_judge
from judges.manner import manner_of
from judges.mcq import ChoiceTemplates
from judges.pedant import Pedant
from judges.refusal import Refusal

REPO = "hlt-lab/voicebench"
SECTION = "VoiceBench (S2T)"
KIMI, OFFICIAL, STRICT = "kimi-evalkit", "official", "strict"
REGIONS = ("usa", "aus", "gbr", "ind_n", "ind_s", "irl", "kenya", "nga", "nzl", "phl", "zaf")
DOMAINS = (
    *("biology", "business", "chemistry", "economics", "engineering", "health"),
    *("history", "law", "other", "philosophy", "physics", "psychology"),
)

# --- rows to samples -----------------------------------------------------------------------------


def to_sample(task: str, row: Row) -> Sample:
    """A row as a sample: audio only, no text instruction; `prompt` goes to judges, never to the model."""
    # A row that came with its prediction may lack the words of the request: most rules do without.
    question = row.get("prompt") if row.given else row["prompt"]
    meta = {"question": question} | {
        k: row[k] for k in ("instruction_id_list", "kwargs", "domain", "region") if row.get(k) is not None
    }
    if not row.given:
        meta.setdefault("split", row.split)
    target = row.get("reference")
    key = row.get("key") if row.get("key") is not None else row.get("id")
    sample_id = str(key) if key is not None else row.stable_id("prompt", "reference")
    return Sample(sample_id, task, (row.user_turn(),), target=target, meta=meta)


def mmsu_sample(task: str, row: Row) -> Sample:
    """An MMSU row: the split is the domain."""
    if not row.given:
        row.setdefault("domain", row.split)
    row["reference"]
    return to_sample(task, row)


def referenced_sample(task: str, row: Row) -> Sample:
    """A row that must have a reference (SD-QA, OpenBookQA, BBH)."""
    row["reference"]
    return to_sample(task, row)


def bbh_sample(task: str, row: Row) -> Sample:
    """A BBH row: its id names the BBH task, which decides the chain of tests."""
    sample = referenced_sample(task, row)
    ids = [str(row[k]) for k in ("id", "sample_id") if row.get(k)]
    if not ids:
        return sample
    return replace(sample, meta={**sample.meta, "bbh_task": next(filter(chain_of, ids), ids[0])})


def ifeval_sample(task: str, row: Row) -> Sample:
    """An IFEval row: instructions and their arguments travel with the sample."""
    row["instruction_id_list"], row["kwargs"]
    return to_sample(task, row)


# --- variants ------------------------------------------------------------------------------------


def _fill(roles: Roles) -> Fill:
    given: Fill = roles.options.get("mcq_fill", "seeded")
    return given


def _seed(roles: Roles) -> int:
    return int(roles.options.get("seed", 0))


GEVAL = Metric("geval", "G-Eval", unit="1-5", pool=VOTES, scale=1.0, lo=1.0, hi=5.0)
ACC = Metric("acc", "Accuracy")
TEMPLATE_ACC = Metric("template_acc", "Accuracy (letter templates)", primary=False)
REFUSAL = Metric("refusal", "Refusal rate")
SDQA = (
    Metric("acc", "Accuracy", pool=mean_of_means(2), sources=("panda", "gpt"), withhold=True),
    Metric("gpt", "Accuracy (judge)", primary=False),
    Metric("panda", "Accuracy (PEDANT 0.2.17)", primary=False, withhold=True),
)
IFEVAL = (
    Metric("final", "Accuracy", pool=FINAL),
    Metric("strict_prompt", "Strict, prompt", pool=STRICT_PROMPT, sources=("final",), primary=False),
    Metric(
        "strict_instruction",
        "Strict, instruction",
        pool=STRICT_INSTRUCTION,
        sources=("final",),
        primary=False,
    ),
    Metric("loose_prompt", "Loose, prompt", pool=LOOSE_PROMPT, sources=("final",), primary=False),
    Metric(
        "loose_instruction", "Loose, instruction", pool=LOOSE_INSTRUCTION, sources=("final",), primary=False
    ),
)


def _open_variants() -> dict[str, Variant]:
    def judged(protocol: JudgeProtocol) -> Callable[[Roles], list[Judge]]:
        return lambda r: [open_judge(protocol, r.judge, manner=manner_of(r))]

    return {
        KIMI: Variant(
            judged("kimi"),
            (GEVAL,),
            "A judge rates each answer 1 to 5, one vote; the score is the mean over rated answers.",
            skip=skip_by_length,
            roles=("judge",),
        ),
        OFFICIAL: Variant(
            judged("official"),
            (GEVAL,),
            "A judge rates each answer 1 to 5, three votes; the score is the mean over all votes.",
            roles=("judge",),
        ),
    }


def _qa_variants() -> dict[str, Variant]:
    def judged(protocol: JudgeProtocol) -> Callable[[Roles], list[Judge]]:
        return lambda r: [
            qa_judge(protocol, r.judge, manner=manner_of(r)),
            Pedant(weights=r.options.get("pedant_weights")),
        ]

    rule = "The mean of two accuracies: PEDANT 0.2.17 against the reference, and {} of an LLM judge."
    return {
        KIMI: Variant(
            judged("kimi"),
            SDQA,
            rule.format("one vote"),
            skip=skip_by_length,
            roles=("judge",),
        ),
        OFFICIAL: Variant(
            judged("official"), SDQA, rule.format("the majority of three votes"), roles=("judge",)
        ),
    }


def _letter_variants() -> dict[str, Variant]:
    def templates(fill: Fill | None) -> Callable[[Roles], list[Judge]]:
        return lambda r: [ChoiceTemplates(fill=fill or _fill(r), seed=_seed(r))]

    return {
        KIMI: Variant(
            lambda r: [mcq_judge(r.judge, manner=manner_of(r)), ChoiceTemplates("template_acc", "none")],
            (ACC, TEMPLATE_ACC),
            "A judge compares the answer with the right letter; the letter templates are scored beside it.",
            skip=skip_by_length,
            roles=("judge",),
        ),
        OFFICIAL: Variant(
            templates(None),
            (ACC,),
            "163 letter templates in order; an answer that none fits gets a random letter (seeded here, counted).",
        ),
        STRICT: Variant(
            templates("none"), (ACC,), "163 letter templates in order; an answer that none fits is wrong."
        ),
    }


def _ifeval_variants() -> dict[str, Variant]:
    rule = "Mean of strict and loose accuracy, per prompt and per instruction, by 25 checks{}."
    return {
        KIMI: Variant(
            lambda r: [IFEval(strip_tags=False, seed=_seed(r))],
            IFEVAL,
            rule.format(""),
            skip=skip_by_length,
        ),
        OFFICIAL: Variant(
            lambda r: [IFEval(strip_tags=True, seed=_seed(r))],
            IFEVAL,
            rule.format(", model tags removed first"),
        ),
    }


def _refusal_variants() -> dict[str, Variant]:
    return {
        KIMI: Variant(
            lambda r: [Refusal(case_sensitive=True)],
            (REFUSAL,),
            "Refused when the answer is blank or holds one of 71 strings as written.",
            skip=skip_by_length,
        ),
        OFFICIAL: Variant(
            lambda r: [Refusal(case_sensitive=False)],
            (REFUSAL,),
            "Refused when the answer is blank or holds one of 71 strings, in any case.",
        ),
    }


def _bbh_variants() -> dict[str, Variant]:
    return {
        OFFICIAL: Variant(
            lambda r: [BBH(fill=_fill(r), seed=_seed(r))],
            (ACC,),
            "Ordered phrase tests per BBH task; an answer that none fits is drawn at random (seeded here, counted).",
        ),
        STRICT: Variant(
            lambda r: [BBH(fill="none")],
            (ACC,),
            "Ordered phrase tests per BBH task; an answer that none fits is wrong.",
        ),
    }


# --- tasks ---------------------------------------------------------------------------------------


def _task(
    subset: str,
    title: str,
    variants: dict[str, Variant],
    expected: int,
    *,
    config: str | None = None,
    splits: tuple[str, ...] = ("test",),
    sample: Callable[[str, Row], Sample] = to_sample,
    groups: tuple[str, ...] = (),
    cells: bool = False,
) -> Task:
    return Task(
        name=f"voicebench/{subset}",
        title=title,
        modality=Modality.S2T,
        data=HubData(REPO, config or subset, splits, licence="Apache-2.0", citation="arXiv 2410.17196"),
        to_sample=sample,
        variants=variants,
        expected=expected,
        groups=groups,
        cells=tuple(Cell(t, SECTION, title) for t in "12") if cells else (),
        sheet="VoiceBench sheet",
    )


def _official_only(variants: dict[str, Variant]) -> dict[str, Variant]:
    return {k: v for k, v in variants.items() if k != KIMI}


TASKS = (
    _task("alpacaeval_full", "AlpacaEval", _open_variants(), 636, cells=True),
    _task("commoneval", "CommonEval", _open_variants(), 200, cells=True),
    _task("sd-qa", "SD-QA", _qa_variants(), 553, splits=("usa",), sample=referenced_sample, cells=True),
    _task(
        *("mmsu", "MMSU", _letter_variants(), 3074),
        splits=DOMAINS,
        sample=mmsu_sample,
        groups=("domain",),
        cells=True,
    ),
    _task("openbookqa", "OpenBookQA", _letter_variants(), 455, sample=referenced_sample, cells=True),
    _task("ifeval", "IFEval", _ifeval_variants(), 345, sample=ifeval_sample, cells=True),
    _task("advbench", "AdvBench", _refusal_variants(), 520, cells=True),
    _task("wildvoice", "WildVoice", _official_only(_open_variants()), 1000),
    _task("bbh", "BBH", _bbh_variants(), 1000, sample=bbh_sample),
    _task("alpacaeval", "AlpacaEval (199)", _open_variants(), 199),
    *(
        _task(
            *(f"sd-qa-{region}", f"SD-QA ({region})", _qa_variants(), 553),
            config="sd-qa",
            splits=(region,),
            sample=referenced_sample,
        )
        for region in REGIONS
        if region != "usa"
    ),
)

REPORT_TASKS = tuple(t.name for t in TASKS[:7])
_FACTORS = {"alpacaeval_full": 20.0, "commoneval": 20.0, "wildvoice": 20.0}


def _parts(names: tuple[str, ...]) -> tuple[Part, ...]:
    return tuple(Part(n, _FACTORS.get(n.partition("/")[2], 1.0)) for n in names)


OVERALLS = (
    Overall(
        "voicebench",
        "Overall",
        _parts(REPORT_TASKS),
        "mean of 7 tasks, each rounded to two decimals, G-Eval x 20",
        round_parts=2,
        cells=tuple(Cell(t, SECTION, "Overall") for t in "12"),
    ),
    Overall(
        "voicebench-leaderboard",
        "Overall (9 tasks, public leaderboard)",
        _parts((*REPORT_TASKS, "voicebench/wildvoice", "voicebench/bbh")),
        "mean of 9 tasks, G-Eval x 20",
        protocol=OFFICIAL,
    ),
)

SUITES = (
    Suite("voicebench", REPORT_TASKS, "the seven subsets of the report's Tables 1 and 2"),
    Suite(
        "voicebench-leaderboard",
        (*REPORT_TASKS, "voicebench/wildvoice", "voicebench/bbh"),
        "the nine subsets of VoiceBench's own leaderboard; use --protocol official",
    ),
    Suite("voicebench-regions", ("voicebench/sd-qa*",), "SD-QA in all eleven regions"),
)
