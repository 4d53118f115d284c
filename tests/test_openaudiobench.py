"""OpenAudioBench: the CSV layout, what the judge is shown, what becomes of its reply, both protocols end to end."""

from __future__ import annotations

import asyncio
import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.openaudiobench import KIMI, REPORT, SECTION
from evalkit.chat import ChatReply, ChatRequest
from evalkit.errors import UsageError
from evalkit.interfaces import Answer, Roles
from evalkit.overalls import overall_result
from evalkit.published import published
from evalkit.records import Response, Sample, Turn, Verdict
from evalkit.registry import catalogue
from evalkit.results import ScoringPlan
from evalkit.rows import Row
from evalkit.stats import round_half_up
from judges.manner import Manner
from judges.openaudiobench import PANDAS_NA, OABJudge, OABProtocol, kimi_cell, oab_judge
from judges.prompts import load_rubric
from judges.votes import OAB_POINTS
from reports.runs import load_runs
from reports.tables import build_tables
from tests.cli_fixtures import Bench, Done, bench, judged, lines, refused, result
from tests.mock_fixtures import mock_server

__all__ = ["bench"]

HERE = Path(__file__).parent
SMOKE = HERE.parent / "benchmarks" / "smoke"
VECTORS = lines(HERE / "vectors" / "ultraeval.kimi_oab.jsonl")
TASKS = {
    n.partition("/")[2].replace("-", "_"): t
    for n, t in catalogue().tasks.items()
    if n.startswith("openaudiobench/")
}
GOOD = {
    "alpaca_eval": "Fine.\nRating: [[8]]",
    "llama_questions": "Same city. The score is [Correct]",
    "reasoning_qa": "结论正确。\n得分是[4]",
    "trivia_qa": '{"analysis": "Same.", "judgment": "correct"}',
    "web_questions": "```json\n{'analysis': 'Same.', 'judgment': 'Correct'}\n```",
}


class Echo:
    """A judge that replies what it is told to, and keeps what it was asked."""

    label, meaningful = "echo", True

    def __init__(self, reply: str) -> None:
        self.reply, self.asked = reply, ChatRequest(())

    async def chat(self, request: ChatRequest) -> ChatReply:
        self.asked = request
        return ChatReply((self.reply,), "echo-1")


def sample(question: str = "Where?", target: Any = "Rome") -> Sample:
    return Sample("x", "openaudiobench/x", (Turn("user", ()),), target=target, meta={"question": question})


def verdicts(
    judge: OABJudge, text: str = "an answer", recorded: str | None = None, **kw: Any
) -> list[Verdict]:
    answer = Answer(text, Response("x", text=text), recorded=None if recorded is None else (recorded,))
    return asyncio.run(judge.ask(sample(**kw), answer))


# --- the judges ------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["report", "kimi"])
def test_every_vector_of_the_public_scorer(protocol: OABProtocol) -> None:
    """The item's score on the public scale; what the public code drops or dies of has no value here."""
    for row in VECTORS:
        judge = oab_judge(row["subset"], None, protocol, manner=Manner(recorded=True))
        found = verdicts(judge, recorded=row["judge"])[0]
        error = row.get("official_error")
        if error is None:
            [score] = [row["metrics"][k] for k in ("score", "acc") if k in row["metrics"]]
            assert found.value is not None and found.value * OAB_POINTS[row["subset"]] == score, row
            assert found.touched is None
            continue
        assert found.value is None and found.reason
        code = {"ZeroDivisionError": "judge-unparseable", "AssertionError": "judge-out-of-range"}[error]
        assert found.reason.startswith(code), row
        defect = {"ZeroDivisionError": "invalid_dropped", "AssertionError": "rating_aborts"}[error]
        assert found.touched == (defect if protocol == "kimi" else None)


@pytest.mark.parametrize("subset", GOOD)
def test_what_the_judge_is_sent(subset: str) -> None:
    """Sheet 4.1 and 4.3: question and reference stripped, the answer as it is; decoding as the public client's."""
    model = Echo(GOOD[subset])
    text = "  {question} {{ 7*7 }}\n\n"
    [first, *_] = verdicts(oab_judge(subset, model), text, question=" Where? \n", target="\tRome;Roma ")
    assert first.value is not None
    request = model.asked
    assert (request.temperature, request.top_p, request.max_tokens, request.n) == (0.0, 0.95, 1024, 1)
    [(one, _), (two, prompt)] = request.messages
    assert (one, two) == ("system", "user") and isinstance(prompt, str)
    assert "\nWhere?\n" in prompt and f"\n{text}\n" in prompt
    assert ("\nRome;Roma\n" in prompt) == (subset != "alpaca_eval"), (
        "AlpacaEval is judged without a reference"
    )


@pytest.mark.parametrize("subset", GOOD)
def test_the_replies_a_weak_judge_is_held_to_are_readable(subset: str) -> None:
    judge = oab_judge(subset, None, manner=Manner(recorded=True))
    assert len(judge.contract.choices) > 1
    for choice in judge.contract.choices:
        assert all(v.value is not None for v in verdicts(judge, recorded=choice)), choice


def test_reasoning_is_one_rating_on_two_scales() -> None:
    for rating in range(6):
        for threshold in (4, 3):
            judge = oab_judge("reasoning_qa", None, threshold=threshold, manner=Manner(recorded=True))
            score, acc = verdicts(judge, recorded=f"[5]不对,得分是[{rating}]")
            assert (score.metric, score.value) == ("score20", rating)
            assert (acc.metric, acc.value) == ("acc", float(rating >= threshold))
    names = [oab_judge("reasoning_qa", None, threshold=t).signature for t in (3, 4)]
    assert names[0] != names[1]
    for nothing in verdicts(oab_judge("reasoning_qa", None)), verdicts(judge, recorded="得分是四"):
        assert [v.metric for v in nothing] == ["score20", "acc"] and all(v.value is None for v in nothing)


@given(st.text(), st.sampled_from(sorted(GOOD)), st.sampled_from(["report", "kimi"]))
def test_no_reply_takes_a_judge_down(reply: str, subset: str, protocol: OABProtocol) -> None:
    judge = oab_judge(subset, None, protocol, manner=Manner(recorded=True))
    found = verdicts(judge, recorded=reply)
    assert [v.metric for v in found] == list(judge.metrics)
    assert all((v.value is None) == bool(v.reason) for v in found)


@given(
    st.text(alphabet=st.characters(exclude_characters="\r\n\x00", exclude_categories=("Cs",)), max_size=20)
)
def test_a_cell_reads_nan_exactly_where_pandas_says_so(cell: str) -> None:
    check_cell(cell)


@pytest.mark.parametrize("cell", [*sorted(PANDAS_NA), "na", "None.", " NA", "NAN", "n.a.", "NA "])
def test_cells_that_look_missing(cell: str) -> None:
    check_cell(cell)


def check_cell(cell: str) -> None:
    from io import StringIO

    out = StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([["a", "b"], [cell, "keep"], ["words", "keep"]])
    read = pd.read_csv(StringIO(out.getvalue()))["a"][0]
    assert (kimi_cell(cell) == "nan") == (pd.isna(read) or str(read).strip() == "nan")


def test_a_missing_cell_is_nan_in_kimis_protocol_alone() -> None:
    for cell in ("NA", "None", ""):
        model = Echo(GOOD["llama_questions"])
        [found] = verdicts(oab_judge("llama_questions", model, "kimi"), target=cell)
        assert found.touched == "nan_cell" and "\nnan\n" in str(model.asked.messages)[:].replace("\\n", "\n")
        model = Echo(GOOD["llama_questions"])
        [found] = verdicts(oab_judge("llama_questions", model), target=cell)
        assert found.touched is None and (found.value is None) == (cell == "")
    [found] = verdicts(oab_judge("llama_questions", None, "kimi"), target="NA")
    assert found.touched is None and found.value is None, "nobody was asked: nothing was decided"
    [found] = verdicts(oab_judge("alpaca_eval", Echo(GOOD["alpaca_eval"]), "kimi"), target="NA")
    assert found.touched is None, "AlpacaEval's reference is not shown"


@pytest.mark.parametrize("name", ["alpaca", "llama", "reasoning", "qa"])
def test_the_rubrics(name: str) -> None:
    import hashlib

    from jinja2 import Environment, meta

    rubric = load_rubric(f"openaudiobench_{name}")
    assert meta.find_undeclared_variables(Environment().parse(rubric.body)) == {*rubric.placeholders, "fence"}
    [given_name] = rubric.stands_for
    assert (
        len(given_name.sha256) == 64 and hashlib.sha256(rubric.body.encode()).hexdigest() != given_name.sha256
    )


# --- rows ------------------------------------------------------------------------------------------


def as_row(folder: Path, **values: Any) -> Row:
    return Row(values, file=str(folder / "eval_datas/x/x.csv"), number=0, split="test", root=str(folder))


def test_audio_is_opened_by_its_name(tmp_path: Path) -> None:
    task = TASKS["web_questions"]
    row = as_row(tmp_path, question="?", answers="a;b", audio_filename="odd name.dat")
    found = task.to_sample(task.name, row)
    assert found.audios[0].path == str(tmp_path / "eval_datas/x/audios/odd name.dat")
    assert (found.id, found.target) == ("odd name.dat", "a;b")
    with pytest.raises(UsageError, match="leaves"):
        task.to_sample(
            task.name, as_row(tmp_path, question="?", answers="a", audio_filename="../../../../etc/passwd")
        )
    with pytest.raises(UsageError, match="no column 'answers'"):
        task.to_sample(task.name, as_row(tmp_path, question="?", audio_filename="a"))
    short = task.to_sample(task.name, as_row(tmp_path, question="?", answers=None, audio_filename="a"))
    assert short.target == "", "a line that ends early has an empty cell"


def run(
    bench: Bench, answers: Sequence[dict[str, Any]], task: str, *more: object, data: Path = SMOKE
) -> Done:
    path = bench.tmp / "answers.jsonl"
    path.write_text("".join(json.dumps(a) + "\n" for a in answers), encoding="utf-8")
    out = ["--out", bench.tmp / "out", "--no-report", "--progress", "none"]
    return bench.here("score", path, "--task", task, "--data-dir", data, *out, *more)


def answers(subset: str, replies: Sequence[str]) -> list[dict[str, Any]]:
    with (SMOKE / f"baichuan-inc/OpenAudioBench/eval_datas/{subset}/{subset}.csv").open(
        encoding="utf-8"
    ) as rows:
        names = [r["audio_filename"] for r in csv.DictReader(rows)]
    return [{"id": n, "text": "hm", "judge": r} for n, r in zip(names, replies, strict=True)]


BAD = "I would rather not say."
HALF = {  # one good reply, one bad verdict, one that can't be read
    "alpaca_eval": ("Rating: [[10]]", "Rating: [[3]]", BAD),
    "llama_questions": (GOOD["llama_questions"], "the score is [incorrect]", BAD),
    "reasoning_qa": ("得分是[5]", "得分是[3]", BAD),
    "trivia_qa": (
        GOOD["trivia_qa"],
        '{"judgment": "partially correct"}',
        '{"analysis": "}", "judgment": "correct"}',
    ),
    "web_questions": (GOOD["web_questions"], '{"judgment": "incorrect"}', '{"judgment": true}'),
}
VALUE = {
    REPORT: {"alpaca_eval": 65.0, "reasoning_qa": 50.0},
    KIMI: {"alpaca_eval": 65.0, "reasoning_qa": 80.0},
}


@pytest.mark.parametrize("protocol", [REPORT, KIMI])
@pytest.mark.parametrize("subset", HALF)
def test_recorded_replies_end_to_end(bench: Bench, subset: str, protocol: str) -> None:
    name = TASKS[subset].name
    done = run(bench, answers(subset, HALF[subset]), name, "--protocol", protocol)
    assert done.code == 1, done.said  # one reply of three can't be read
    found = result(bench.tmp / "out", name)
    assert (found["n"], found["n_scored"], found["n_unscored"]) == (3, 2, 1)
    assert found["value"] == VALUE[protocol].get(subset, 50.0)
    assert set(found["reasons"]) == {"judge-unparseable"}
    wanted = {"invalid_dropped": 1} if protocol == KIMI else {}
    if subset == "llama_questions" and protocol == KIMI:
        wanted = {"invalid_dropped": 1}  # the third row's answer is NA, but its reply is dropped anyway
    assert found["touched"] == wanted
    if subset == "reasoning_qa":
        both = {m: result(bench.tmp / "out", name, m)["value"] for m in ("acc", "score20")}
        assert both == {"acc": 50.0, "score20": 80.0}, "both scales are kept in both protocols"
        assert (found["label"] == "Accuracy") == (protocol == REPORT)


def test_the_threshold_is_an_option_and_signed(bench: Bench) -> None:
    name = TASKS["reasoning_qa"].name
    given_answers = answers("reasoning_qa", HALF["reasoning_qa"])
    assert run(bench, given_answers, name).code == 1
    before = result(bench.tmp / "out", name)
    assert run(bench, given_answers, name, "-O", "reasoning_threshold=3").code == 1
    after = result(bench.tmp / "out", name)
    assert (before["value"], after["value"]) == (50.0, 100.0) and before["signature"] != after["signature"]
    assert "acc>=3" in after["signature"]
    refused(run(bench, given_answers, name, "-O", "reasoning_threshold=6"), "reasoning_threshold", "1 to 5")


ALL_IN_ONE = 'Rating: [[8]]\nThe score is [Correct]\n{"judgment": "correct"}\n得分是[4]'


@pytest.mark.parametrize(("protocol", "reasoning"), [(REPORT, 100.0), (KIMI, 80.0)])
def test_a_whole_run_with_a_judge(bench: Bench, protocol: str, reasoning: float) -> None:
    """All five subsets: five cells and the Overall of them, in the table beside the printed ones."""
    path = bench.tmp / "a.jsonl"
    given_answers = [{"id": a["id"], "text": "hm"} for s in HALF for a in answers(s, HALF[s])]
    path.write_text("".join(json.dumps(a) + "\n" for a in given_answers), encoding="utf-8")
    args = ["run", "--model", f"replay/{path}", "--suite", "openaudiobench", "--data-dir", SMOKE]
    args += ["--protocol", protocol, "--out", bench.tmp / "o", "--progress", "none", "--no-report"]
    with mock_server(texts=[ALL_IN_ONE]) as mock:
        done = bench.here(*args, *judged(mock.url))
        assert mock.requests() == 15
    assert done.code == 0, done.said
    found = json.loads((bench.tmp / "o/results.json").read_text(encoding="utf-8"))
    overall = found["overall"]["openaudiobench"]
    assert (overall["value"], overall["complete"]) == (pytest.approx((80 + 100 + reasoning + 200) / 5), True)
    nan = found["tasks"][TASKS["llama_questions"].name]["metrics"]["acc"]["touched"]
    assert nan == ({"nan_cell": 1} if protocol == KIMI else {}), "the answer NA of the smoke set"
    [table] = build_tables(load_runs([bench.tmp / "o"]))
    rows = {r.label: r.cells[-1].value for r in table.sections[0].rows}
    names = ("AlpacaEval", "Llama Q.", "Reasoning QA", "TriviaQA", "Web Q.", "Overall")
    assert rows == dict(zip(names, (80.0, 100.0, reasoning, 100.0, 100.0, overall["value"]), strict=True))


def test_a_pointer_of_git_lfs_is_told_from_audio(bench: Bench) -> None:
    data = bench.tmp / "copy"
    shutil.copytree(SMOKE / "baichuan-inc", data / "baichuan-inc")
    folder = data / "baichuan-inc/OpenAudioBench/eval_datas/web_questions"
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    (folder / "audios/web_questions_1.mp3").write_text(pointer, encoding="ascii")
    shown = bench.here("show", "openaudiobench/web-questions", "--data-dir", data)
    assert "git-lfs pointer" in shown.out and "git lfs pull" in shown.out, shown.said
    (folder / "web_questions.csv").write_text(pointer, encoding="ascii")
    refused(bench.here("show", "openaudiobench/web-questions", "--data-dir", data), "git lfs pull")


# --- the printed tables ----------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["1", "2"])
def test_printed_overalls(table: str) -> None:
    """Sheet section 5: every column, half-up from the printed cells."""

    overall = catalogue().overalls["openaudiobench"]
    section = published(table, SECTION)
    for model in section.models:
        entries, plans = {}, {}
        for task in TASKS.values():
            protocol, variant = task.variant(None)
            name = variant.headline.name
            value = section.row(task.title).value(model)  # type: ignore[union-attr]
            number = {"value": value, "signature": "", "n_scored": 1, "meaningful": True}
            entries[task.name] = {"headline": name, "metrics": {name: number}, "n": 1}
            plans[task.name] = ScoringPlan(task, protocol, variant, (), {})
        found = overall_result(overall, entries, plans)
        assert found is not None
        assert round_half_up(found["value"], 2) == section.row("Overall").value(model), model  # type: ignore[union-attr]


def test_declarations() -> None:
    assert {s: t.expected for s, t in TASKS.items()} == {
        **{"alpaca_eval": 199, "llama_questions": 300, "reasoning_qa": 202},
        **{"trivia_qa": 1000, "web_questions": 1000},
    }
    for subset, task in TASKS.items():
        assert task.data.globs("test")[0] == f"eval_datas/{subset}/{subset}.csv"
        assert task.data.media == ("eval_datas/{config}/audios/*",)
        for protocol, variant in task.variants.items():
            [judge] = variant.judges(Roles())
            assert ("drop-invalid" in judge.signature) == (protocol == KIMI)
    skip = TASKS["trivia_qa"].variants[KIMI].skip
    assert skip is not None and TASKS["trivia_qa"].variants[REPORT].skip is None
