"""The declarations: tasks, protocols, cells, suites, and overalls against every printed column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import ultraeval_audio, voicebench
from evalkit.errors import UsageError
from evalkit.interfaces import Roles
from evalkit.overalls import overall_result
from evalkit.plan import ScoringPlan
from evalkit.published import PublishedSection, find, published
from evalkit.records import Modality
from evalkit.registry import catalogue
from evalkit.sources import Row
from evalkit.stats import round_half_up
from evalkit.task import Overall, Task

TASKS = list(catalogue().tasks.values())
VOICE = [t for t in TASKS if t.benchmark in ("voicebench", "ultraeval-audio")]
"""Benchmarks that send the spoken question and nothing else."""
UNCOUNTED = {"asr/common-voice-en", "asr/common-voice-zh", "vstyle/en", "vstyle/zh"}
"""Sets whose size no source establishes; and the user's own (`speech-style`)."""
VARIANTS = [(t, p) for t in TASKS for p in t.variants]
NAMED = [f"{t.name}-{p}" for t, p in VARIANTS]


# --- every task ----------------------------------------------------------------------------------


def test_there_are_tasks() -> None:
    assert len(TASKS) >= 28


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
def test_a_task_says_what_a_table_needs(task: Task) -> None:
    assert task.benchmark and task.subset and task.title and task.sheet
    assert task.data.repo and task.data.splits
    assert task.expected or task.name in UNCOUNTED or task.benchmark == "speech-style"
    assert not task.prompts or next(iter(task.prompts.values())) is task.to_sample
    assert task.variants and task.default_protocol == next(iter(task.variants))
    with pytest.raises(UsageError, match="has no protocol 'none-such'; it has"):
        task.variant("none-such")


@pytest.mark.parametrize(("task", "protocol"), VARIANTS, ids=NAMED)
def test_every_metric_is_fed_by_a_judge(task: Task, protocol: str) -> None:
    _, variant = task.variant(protocol)
    judges = tuple(variant.judges(Roles()))
    given = [m for j in judges for m in j.metrics]
    assert len(given) == len(set(given)), "two judges give the same metric"
    names = [m.name for m in variant.metrics]
    assert len(names) == len(set(names))
    assert all(j.signature and "|" not in j.signature for j in judges)
    for metric in variant.metrics:
        assert set(metric.reads) <= set(given), f"nobody gives {set(metric.reads) - set(given)}"
        plan = ScoringPlan(task, protocol, variant, judges, {})
        assert plan.judges_of(metric)
    assert variant.headline.primary and variant.rule.endswith(".")


@pytest.mark.parametrize(("task", "protocol"), VARIANTS, ids=NAMED)
def test_roles_say_who_is_needed(task: Task, protocol: str) -> None:
    variant = task.variants[protocol]
    judges = variant.judges(Roles())
    for role in ("judge", "lalm-judge"):
        assert (role in variant.roles) == any(j.asks_model and j.role == role for j in judges)
    assert ("asr" in variant.roles) == any(j.reads == "speech" for j in judges)
    assert (task.modality is Modality.S2S) == any(j.reads != "text" for j in judges)


@pytest.mark.parametrize("task", [t for t in TASKS if len(t.variants) > 1], ids=lambda t: t.name)
def test_protocols_differ_in_what_they_sign(task: Task) -> None:
    made = {
        name: (
            tuple(j.signature for j in v.judges(Roles())),
            v.skip is not None,
            tuple(m.name for m in v.metrics),
        )
        for name, v in task.variants.items()
    }
    if task.name == "ultraeval-audio/alpaca-eval-s2t":  # a rating has no blank reference to differ on
        return
    if (
        task.name == "ultraeval-audio/alpaca-eval"
    ):  # differs in what silence is, which the protocol's name says
        silence = [[j.judges_silence for j in v.judges(Roles())] for v in task.variants.values()]
        assert silence[0] != silence[1]
        return
    assert len(set(made.values())) == len(made)


def test_expected_counts_are_the_sheets() -> None:
    counts = {t.name: t.expected for t in TASKS}
    vb = {
        **{"alpacaeval": 199, "alpacaeval_full": 636, "commoneval": 200, "wildvoice": 1000, "sd-qa": 553},
        **{"mmsu": 3074, "openbookqa": 455, "ifeval": 345, "bbh": 1000, "advbench": 520},
    }
    for name, n in vb.items():
        assert counts[f"voicebench/{name}"] == n
    regions = [n for n in counts if n.startswith("voicebench/sd-qa")]
    assert len(regions) == 11 and sum(counts[n] or 0 for n in regions) == 6083
    ue = {"alpaca-eval": 199, "llama-questions": 300, "triviaqa": 1024, "web-questions": 2032}
    for name, n in ue.items():
        assert counts[f"ultraeval-audio/{name}"] == counts[f"ultraeval-audio/{name}-s2t"] == n


def test_mmsu_has_its_twelve_domains() -> None:
    task = catalogue().tasks["voicebench/mmsu"]
    assert len(task.data.splits) == len(set(task.data.splits)) == 12 and task.groups == ("domain",)
    row = {"audio": b"RIFF", "prompt": "?", "reference": "A"}
    read = Row(row, file="f", number=0, split="law", root=".")
    assert task.to_sample(task.name, read).meta["domain"] == "law"


def test_each_region_reads_its_own_split() -> None:
    regions = [t for t in TASKS if t.name.startswith("voicebench/sd-qa")]
    assert sorted(s for t in regions for s in t.data.splits) == sorted(voicebench.REGIONS)
    assert {t.data.config for t in regions} == {"sd-qa"}
    assert catalogue().tasks["voicebench/sd-qa"].data.splits == ("usa",)


# --- cells, overalls, suites ---------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
def test_cells_exist_in_the_published_tables(task: Task) -> None:
    for cell in task.cells:
        row = published(cell.table, cell.section).row(cell.row, cell.language, cell.printed)
        assert row is not None, f"Table {cell.table} has no row {cell.row}"
        variant = task.variants[task.default_protocol]
        filling = next(m for m in variant.metrics if m.name == (cell.metric or variant.headline.name))
        assert row.higher_is_better == filling.higher_is_better
        if row.range:
            assert row.range[1] == filling.hi * filling.scale


def test_no_two_tasks_fill_one_cell_and_none_is_left_empty() -> None:
    cells = [c for t in TASKS for c in t.cells] + [c for o in catalogue().overalls.values() for c in o.cells]
    assert len(cells) == len(set(cells))
    for section in (voicebench.SECTION, ultraeval_audio.SECTION):
        for table in "12":
            printed = {r.name for r in published(table, section).rows}
            assert {c.row for c in cells if (c.table, c.section) == (table, section)} == printed


@pytest.mark.parametrize("overall", catalogue().overalls.values(), ids=lambda o: o.name)
def test_the_parts_of_an_overall_exist(overall: Overall) -> None:
    assert overall.parts
    for part in overall.parts:
        task = catalogue().tasks[part.task]
        if part.metric:
            assert part.metric in {m.name for m in task.variants[task.default_protocol].metrics}
        if overall.protocol:
            assert overall.protocol in task.variants
        variant = task.variants[overall.protocol or task.default_protocol]
        metric = next(m for m in variant.metrics if m.name == (part.metric or variant.headline.name))
        assert metric.hi * metric.scale * part.factor == 100.0, "parts are brought to 0-100"
    for cell in overall.cells:
        assert published(cell.table, cell.section).row(cell.row, cell.language, cell.printed) is not None


@pytest.mark.parametrize("suite", catalogue().suites.values(), ids=lambda s: s.name)
def test_suites_resolve(suite: Any) -> None:
    tasks = catalogue().select(list(suite.tasks))
    assert len(tasks) >= len(suite.tasks) and suite.about
    if suite.data_dir:
        assert (Path(__file__).parent.parent / suite.data_dir).is_dir()


def test_the_regions_suite_is_every_region() -> None:
    assert len(catalogue().select(list(catalogue().suites["voicebench-regions"].tasks))) == 11


# --- the printed Overall rows --------------------------------------------------------------------


def computed(overall: Overall, cells: dict[str, float]) -> float | None:
    """`overall_result` over tasks whose headline numbers are given."""
    entries, plans = {}, {}
    for part in overall.parts:
        task = catalogue().tasks[part.task]
        protocol, variant = task.variant(overall.protocol)
        name = variant.headline.name
        number = {"value": cells[part.task], "signature": "", "n_scored": 1, "meaningful": True}
        entries[part.task] = {"headline": name, "metrics": {name: number}, "n": 1}
        plans[part.task] = ScoringPlan(task, protocol, variant, (), {})
    found = overall_result(overall, entries, plans)
    assert found is not None and found["missing"] == []
    value: float | None = found["value"]
    return value


def check_columns(overall: Overall, section: PublishedSection) -> list[str]:
    """Models whose printed Overall follows from their printed cells by the declared formula."""
    names = {p.task: catalogue().tasks[p.task].title for p in overall.parts}
    total = section.row("Overall")
    assert total is not None
    for model in section.models:
        cells = {}
        for task, title in names.items():
            row = section.row(title)
            assert row is not None
            cells[task] = row.value(model)
        value = computed(overall, cells)  # type: ignore[arg-type]
        assert value is not None
        assert round_half_up(value, overall.decimals) == total.value(model), model
    return list(section.models)


@pytest.mark.parametrize(
    ("name", "section"), [("voicebench", voicebench.SECTION), ("ultraeval-audio", ultraeval_audio.SECTION)]
)
def test_printed_overalls_follow_from_printed_cells(name: str, section: str) -> None:
    """VoiceBench sheet section 12 and UltraEval-Audio sheet section 4.4: every column of Tables 1 and 2."""
    overall = catalogue().overalls[name]
    columns = [m for t in "12" if (s := find(t, section)) is not None for m in check_columns(overall, s)]
    assert len(columns) == (11 if name == "voicebench" else 9)


@pytest.mark.parametrize(
    ("model", "value"),
    [
        ("GLM-4-Voice", 59.8314),
        ("Fun-Audio-Chat-8B", 83.2057),
        ("Kimi-Audio", 76.93),
        ("MiMo-Audio", 74.0629),
    ],
)
def test_voicebench_overall_before_rounding(model: str, value: float) -> None:
    section = published("2", voicebench.SECTION)
    overall = catalogue().overalls["voicebench"]
    cells = {p.task: section.row(catalogue().tasks[p.task].title).value(model) for p in overall.parts}  # type: ignore[union-attr]
    assert computed(overall, cells) == pytest.approx(value, abs=5e-5)  # type: ignore[arg-type]


def test_the_misplaced_ifeval_value_of_glm_4_voice() -> None:
    """With the model's own IFEval (25.92) its Overall would be 55.99: VoiceBench sheet section 12."""
    section = published("2", voicebench.SECTION)
    overall = catalogue().overalls["voicebench"]
    cells = {p.task: section.row(catalogue().tasks[p.task].title).value("GLM-4-Voice") for p in overall.parts}  # type: ignore[union-attr]
    assert cells["voicebench/ifeval"] == 52.80
    found = computed(overall, cells | {"voicebench/ifeval": 25.92})  # type: ignore[arg-type]
    assert found is not None and round_half_up(found, 2) == 55.99


@pytest.mark.parametrize("column", ["S2M-T", "S2M-S"])
def test_the_averages_of_table_7(column: str) -> None:
    """UltraEval-Audio sheet section 4.4, both columns of four models; 43.435 and 49.275 are halves."""
    section = published("7", "Knowledge Understanding")
    rows = {r.name: r for r in section.rows if r.metric == column}
    overall = catalogue().overalls["ultraeval-audio"]
    for model in section.models:
        cells = {p.task: rows[catalogue().tasks[p.task].title].value(model) for p in overall.parts}
        value = computed(overall, cells)  # type: ignore[arg-type]
        assert value is not None and round_half_up(value, 2) == rows["Avg."].value(model), model
    assert len(section.models) == 4


def test_the_leaderboard_overall_has_nine_parts() -> None:
    overall = catalogue().overalls["voicebench-leaderboard"]
    assert len(overall.parts) == 9 and overall.protocol == "official"
    cells = {p.task: 5.0 if p.factor == 20 else 100.0 for p in overall.parts}
    assert computed(overall, cells) == 100.0
    assert sum(p.factor == 20 for p in overall.parts) == 3


# --- rows to samples -----------------------------------------------------------------------------


def as_row(**values: Any) -> Row:
    return Row(values, file="x.jsonl", number=3, split="test", root=".", given=False)


def test_the_prompt_never_reaches_the_model() -> None:
    for task in VOICE:
        row = as_row(
            **{
                "audio": b"RIFF",
                "prompt": "words",
                "reference": "A",
                "instruction_id_list": [],
                "kwargs": [],
            },
            **{
                "Answer": "x",
                "answer": "x",
                "answers": ["x"],
                "output": "x",
                "question": "words",
                "id": "navigate",
            },
        )
        sample = task.to_sample(task.name, row)
        assert [t.text for t in sample.turns] == [""] and len(sample.audios) == 1, task.name
        assert sample.question == "words" and sample.task == task.name


@pytest.mark.parametrize(
    ("name", "lacks"),
    [
        ("voicebench/sd-qa", "reference"),
        ("voicebench/mmsu", "reference"),
        ("voicebench/ifeval", "instruction_id_list"),
        ("voicebench/commoneval", "prompt"),
        ("ultraeval-audio/llama-questions", "Answer"),
        ("ultraeval-audio/web-questions", "answers"),
    ],
)
def test_a_column_the_scorer_needs_is_asked_for_at_once(name: str, lacks: str) -> None:
    task = catalogue().tasks[name]
    full = {
        **{"audio": b"RIFF", "prompt": "words", "reference": "A", "instruction_id_list": [], "kwargs": []},
        **{"Answer": "x", "answers": ["x"]},
    }
    with pytest.raises(UsageError, match=f"has no column '{lacks}'"):
        task.to_sample(name, as_row(**{k: v for k, v in full.items() if k != lacks}))


def test_ids_never_depend_on_the_place_in_the_file() -> None:
    for task in VOICE:
        values = {
            **{
                "audio": b"RIFF",
                "prompt": "words",
                "reference": "A",
                "instruction_id_list": [],
                "kwargs": [],
            },
            **{"Answer": "x", "answer": "x", "answers": ["x"], "output": "x"},
        }
        one, two = as_row(**values), as_row(**values)
        two.number = 99
        assert task.to_sample(task.name, one).id == task.to_sample(task.name, two).id != "", task.name
        assert task.to_sample(task.name, as_row(**values, key=7, id="7")).id == "7", task.name


@pytest.mark.parametrize(("seconds", "skipped"), [(0.05, True), (0.1, False), (60.0, False), (60.5, True)])
def test_kimis_skip_rule(seconds: float, skipped: bool) -> None:
    """VoiceBench sheet section 13: 60 s / 0.1 s, the answer is the word null."""
    from evalkit.records import Audio, Sample, Turn

    sample = Sample("a", "t/t", (Turn("user", (Audio(data=b"x", seconds=seconds),)),))
    found = voicebench.skip_by_length(sample)
    assert (found is not None) == skipped
    assert found is None or found[0] == "null"
    assert voicebench.skip_by_length(Sample("a", "t/t", (Turn("user", ("text",)),))) is None
