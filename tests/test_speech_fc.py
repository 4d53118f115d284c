"""SpeechFCEval end to end: smoke data, predictions, endpoints with and without a tool parser, prompts, Table 4."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speech_fc import OVERALLS, SECTION, SETS, TASKS
from evalkit.audio import decode
from evalkit.errors import UsageError
from evalkit.published import published
from evalkit.records import Audio, Modality, Turn
from evalkit.runners import tool_prompt
from evalkit.runners.openai import OpenAIRunner
from evalkit.sources import Row
from evalkit.stats import estimate, round_half_up
from evalkit.task import Task
from tests.cli_fixtures import Bench, Done, bench, lines, openai, refused, result
from tests.mock_fixtures import mock_server
from tests.test_benchmarks import computed

__all__ = ["bench"]

ROOT = Path(__file__).parent.parent
SMOKE = ROOT / "benchmarks" / "smoke"
HOME = SMOKE / "FunAudioLLM" / "SpeechFCEval"
BY_NAME = {t.name: t for t in TASKS}
FOLDERS = {f"speech-fc/{s[0]}": f"SpeechFC_{s[1]}" for s in SETS}
SINGLE, PARALLEL = "speech-fc/bfcl-single", "speech-fc/bfcl-parallel"
ACE, ACE_PARALLEL = "speech-fc/acebench-single", "speech-fc/acebench-parallel"


def records(task: str) -> list[dict[str, Any]]:
    return lines(HOME / FOLDERS[task] / "metadata.jsonl")


def as_row(task: str, values: Mapping[str, Any], given: bool = False) -> Row:
    file = str(HOME / FOLDERS[task] / "metadata.jsonl")
    return Row(values, file=file, number=3, split="test", root=str(HOME), given=given)


def said(*calls: tuple[str, Any]) -> str:
    return "".join(f"<tool_call>\n{json.dumps({'name': n, 'arguments': a})}\n</tool_call>" for n, a in calls)


RIGHT: dict[str, str] = {
    "simple_python_900": said(("lamp.dim", {"percent": 10})),
    "multiple_900": said(("start_timer", {"minutes": 2})) + "<|im_end|>",
    "multiple_901": said(("list_add", {"entry": {"what": "Eggs", "count": 3}})),
    "parallel_900": said(("start_timer", {"minutes": 5}), ("start_timer", {"minutes": 2})),
    "parallel_multiple_900": said(("start_timer", {"minutes": 1}), ("lamp.dim", {"percent": 0, "room": "All"})),
    "normal_single_turn_single_function_900_speaker1": said(("浇花", {"植物": "绿萝"})),
    "normal_atom_bool_900_speaker2": said(("library_reserve", {"seat": {"window": True, "floor": 2}})),
    "normal_single_turn_parallel_function_900_speaker3": said(("浇花", {"植物": "茉莉"}), ("浇花", {"植物": "绿萝"})),
    "normal_single_turn_parallel_function_901_speaker1": said(
        ("浇花", {"植物": "茉莉"}), ("robot_sweep", {"rooms": ["厨房"]})
    ),
    "smart_interact_900": said(("curtain_set", {"position": 50})),
    "smart_interact_901": said(("robot_sweep", {"rooms": ["客厅"], "power": 2})),
}  # fmt: skip
"""A right answer to every smoke record."""


def predictions(bench: Bench, texts: Mapping[str, str]) -> Path:
    path = bench.tmp / "p.jsonl"
    path.write_text("".join(json.dumps({"id": k, "text": v}) + "\n" for k, v in texts.items()))
    return path


def replayed(bench: Bench, texts: Mapping[str, str], *more: object) -> Done:
    model = ["--model", f"replay/{predictions(bench, texts)}", "--data-dir", SMOKE]
    return bench.here("run", *model, "--out", bench.tmp / "a", "--no-report", *more)


def verdicts(bench: Bench, task: str, metric: str = "acc", out: str = "a") -> dict[str, dict[str, Any]]:
    return {
        x["sample_id"]: x for x in lines(bench.tmp / out / task / "scores.jsonl") if x["metric"] == metric
    }


# --- the smoke data ------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
def test_smoke_records_are_samples(task: Task) -> None:
    for record in records(task.name):
        sample = task.to_sample(task.name, as_row(task.name, record))
        assert sample.id == record["dataset_key"] and sample.question == record["utterance"]
        assert [json.dumps(t, ensure_ascii=False) for t in sample.tools] == [
            json.dumps(t, ensure_ascii=False) for t in json.loads(record["function"])
        ], "the model is shown the tools unchanged"
        assert sample.target == json.loads(record["ground_truth"]) and "faults" not in sample.meta
        [audio] = sample.audios
        samples, rate = decode(audio)
        assert rate == 8000 and 0.4 < len(samples) / rate < 3 and abs(samples).max() > 0.1
        assert sample.turns == (Turn("user", (audio,)),), "audio only: no text instruction"


@pytest.mark.parametrize(
    ("key", "source", "speaker"),
    [
        ("simple_python_17", "simple_python", None),
        ("multiple_0", "multiple", None),
        ("parallel_multiple_3", "parallel_multiple", None),
        ("normal_single_turn_parallel_function_0_speaker3", "normal_single_turn_parallel_function", "3"),
        ("normal_atom_bool_12_speaker1", "normal_atom", "1"),
        ("normal_similar_api_2_speaker2", "normal_similar_api", "2"),
        ("smart_interact_5", "smart_interact", None),
        ("odd", "odd", None),
    ],
)
def test_a_key_tells_source_and_reader(key: str, source: str, speaker: str | None) -> None:
    row = as_row(ACE, {**records(ACE)[0], "dataset_key": key}, given=True)
    meta = BY_NAME[ACE].to_sample(ACE, row).meta
    assert (meta["source"], meta.get("speaker")) == (source, speaker)


@pytest.mark.parametrize("place", ["S/wav/k.wav", "wav/S/k.wav", "S/a/b.wav", "a/b.wav"])
def test_the_four_places_of_audio(tmp_path: Path, place: str) -> None:
    task, folder = BY_NAME[SINGLE], FOLDERS[SINGLE]
    wav = tmp_path / place.replace("S/", f"{folder}/")
    wav.parent.mkdir(parents=True)
    wav.write_bytes(b"RIFF")
    values = {**records(SINGLE)[0], "dataset_key": "k", "file_name": "a/b.wav"}
    row = Row(
        values, file=str(tmp_path / folder / "metadata.jsonl"), number=0, split="test", root=str(tmp_path)
    )
    [audio] = task.to_sample(task.name, row).audios
    assert isinstance(audio, Audio) and Path(audio.path or "").resolve() == wav.resolve()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"function": "[{"}, "'function' is no JSON"),
        ({"function": "{}"}, "'function' holds neither"),
        ({"function": "[1]"}, "a tool that is no object"),
        ({"ground_truth": "3"}, "'ground_truth' holds neither"),
    ],
)
def test_rows_that_cant_be_scored_are_named(change: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match="row 3 of metadata.jsonl.*" + words):
        BY_NAME[SINGLE].to_sample(SINGLE, as_row(SINGLE, records(SINGLE)[0] | change))
    for column in ("function", "ground_truth", "dataset_key"):
        row = {k: v for k, v in records(SINGLE)[0].items() if k != column}
        with pytest.raises(UsageError, match=f"has no column '{column}'"):
            BY_NAME[SINGLE].to_sample(SINGLE, as_row(SINGLE, row))


def test_faults_that_crash_the_public_scorer_are_told_at_load() -> None:
    row = records(SINGLE)[0] | {"ground_truth": '[{"nobody": {}}]'}
    sample = BY_NAME[SINGLE].to_sample(SINGLE, as_row(SINGLE, row))
    assert sample.meta["faults"] == ["the answer's function 'nobody' is not among the tools"]


def test_odd_rows_are_told_and_no_crash() -> None:
    convert, row = BY_NAME[SINGLE].to_sample, records(SINGLE)[0]
    assert convert(SINGLE, as_row(SINGLE, row | {"dataset_key": "a\nb_1"})).id == "a\nb_1"
    with pytest.raises(UsageError, match="'function' is no JSON"):
        convert(SINGLE, as_row(SINGLE, row | {"function": "[" * 100_000}))


def test_the_time_is_a_system_turn_where_there_is_one() -> None:
    timed = BY_NAME[ACE].asking("time")
    first, second = (timed.to_sample(ACE, as_row(ACE, r)) for r in records(ACE))
    assert first.turns[0] == Turn("system", ("今天是星期二。",)) and len(first.turns) == 2
    assert len(second.turns) == 1
    assert len(BY_NAME[ACE].to_sample(ACE, as_row(ACE, records(ACE)[0])).turns) == 1


# --- scored from predictions ---------------------------------------------------------------------


def test_all_right(bench: Bench) -> None:
    done = replayed(bench, RIGHT, "--suite", "speech-fc")
    assert done.code == 0, done.said
    for task in TASKS:
        for metric in ("acc", "strict"):
            found = result(bench.tmp / "a", task.name, metric)
            assert (found["value"], found["n"], found["n_errors"]) == (100.0, len(records(task.name)), 0), (
                task.name
            )
    results = json.loads((bench.tmp / "a/results.json").read_text())
    assert results["overall"]["speech-fc"]["value"] == 100.0
    groups = results["tasks"][SINGLE]["groups"]["source"]
    assert set(groups) == {"simple_python", "multiple"}


def test_verdicts_say_why(bench: Bench) -> None:
    texts = dict(RIGHT) | {
        "simple_python_900": "I dimmed the lamp.",
        "multiple_900": said(("start_timer", {"minutes": "2"})),
        "multiple_901": said(("list_add", {"entry": {"what": "milk", "count": float("nan")}})),
        "parallel_900": said(("start_timer", {"minutes": 2}), ("start_timer", {"minutes": 5})),
    }
    assert replayed(bench, texts, "--task", SINGLE, "--task", PARALLEL).code == 0
    found = verdicts(bench, SINGLE)
    assert {k: v["detail"]["error_type"] for k, v in found.items()} == {
        "simple_python_900": "multiple_function_checker:wrong_count",
        "multiple_900": "type_error:simple",
        "multiple_901": "value_error:dict_value",
    }
    call = found["multiple_901"]["detail"]["calls"][0]
    assert call == {"name": "list_add", "arguments": {"entry": {"what": "milk", "count": "nan"}}}
    assert found["multiple_901"]["detail"]["expected"] == json.loads(records(SINGLE)[2]["ground_truth"])
    assert result(bench.tmp / "a", SINGLE)["value"] == 0.0
    greedy, ours = (verdicts(bench, PARALLEL, m)["parallel_900"] for m in ("acc", "strict"))
    assert (greedy["value"], ours["value"]) == (0.0, 1.0)


def test_the_strict_protocol_is_the_strict_column(bench: Bench) -> None:
    texts = dict(RIGHT) | {
        "normal_single_turn_single_function_900_speaker1": said(("浇花", {"植物": "我的绿萝"}))
    }
    assert replayed(bench, texts, "--task", ACE).code == 0
    assert result(bench.tmp / "a", ACE)["value"] == 100.0
    assert result(bench.tmp / "a", ACE, "strict")["value"] == 50.0
    assert bench.here(
        *("run", "--model", f"replay/{bench.tmp / 'p.jsonl'}", "--data-dir", SMOKE, "--task", ACE),
        *("--protocol", "strict", "--out", bench.tmp / "b", "--no-report"),
    ).code == 0  # fmt: skip
    found = json.loads((bench.tmp / "b/results.json").read_text())["tasks"][ACE]
    assert found["headline"] == "strict" and found["metrics"]["strict"]["value"] == 50.0


def scored(bench: Bench, task: str, rows: Sequence[tuple[dict[str, Any], str]], *more: object) -> Done:
    """Score records of the public prediction file, each with its answer."""
    path = bench.tmp / "rows.jsonl"
    made = [{"id": r["dataset_key"], "text": text, "row": r} for r, text in rows]
    path.write_text("".join(json.dumps(m) + "\n" for m in made), encoding="utf-8")
    return bench.here("score", path, "--task", task, "--out", bench.tmp / "s", "--no-report", *more)


def test_public_prediction_records_need_no_audio(bench: Bench) -> None:
    rows = [(r | {"file_name": "wav/x/nowhere.wav"}, RIGHT[r["dataset_key"]]) for r in records(PARALLEL)]
    assert scored(bench, PARALLEL, rows).code == 0
    assert result(bench.tmp / "s", PARALLEL)["value"] == 100.0


def test_a_crash_counts_and_costs_one_record(bench: Bench) -> None:
    broken = records(SINGLE)[0] | {"ground_truth": '[{"nobody": {}}]'}
    rows = [(broken, said(("nobody", {}))), *((r, RIGHT[r["dataset_key"]]) for r in records(SINGLE)[1:])]
    assert scored(bench, SINGLE, rows).code == 0
    found = result(bench.tmp / "s", SINGLE)
    assert found["touched"] == {"checker_crash": 1} and found["n_scored"] == 3
    assert round_half_up(found["value"], 2) == 66.67
    assert result(bench.tmp / "s", SINGLE, "strict")["touched"] == {}


def test_dotted_names_are_an_option(bench: Bench) -> None:
    rows = [(records(SINGLE)[0], said(("lamp_dim", {"percent": 10})))]
    assert scored(bench, SINGLE, rows, "-O", "dotted_names=underscore").code == 0
    found = result(bench.tmp / "s", SINGLE)
    assert found["value"] == 100.0 and "names=underscore" in found["judges"][0]
    refused(scored(bench, SINGLE, rows, "-O", "dotted_names=x"), "dotted_names", "underscore")


# --- endpoints -----------------------------------------------------------------------------------


def sha_of(task: str, key: str) -> str:
    record = next(r for r in records(task) if r["dataset_key"] == key)
    wav = HOME / FOLDERS[task] / "wav" / f"{record['dataset_key']}.wav"
    return hashlib.sha256(wav.read_bytes()).hexdigest()


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def test_an_endpoint_gets_tools_and_its_calls_are_checked(bench: Bench) -> None:
    one, two, three = (r["dataset_key"] for r in records(SINGLE))
    rules = [
        {"match": sha_of(SINGLE, one), "set": {"tool_calls": [call("lamp.dim", percent=10)]}},
        {"match": sha_of(SINGLE, two), "set": {"tool_calls": [call("start_timer", minutes=9)]}},
        {"match": sha_of(SINGLE, three), "set": {"texts": [RIGHT[three]]}},
    ]
    with mock_server(rules=rules) as mock:
        done = bench.here(*openai(mock.url, "--task", SINGLE, "--data-dir", SMOKE, "--out", bench.tmp / "a"))
        assert done.code == 0, done.said
        sent = mock.stats()["last"]
    assert {v["sample_id"]: v["value"] for v in verdicts(bench, SINGLE).values()} == {
        one: 1,
        two: 0,
        three: 1,
    }
    assert verdicts(bench, SINGLE)[two]["detail"]["error_type"] == "value_error:others"
    assert [bool(verdicts(bench, SINGLE)[k]["detail"].get("native")) for k in (one, two, three)] == [
        True,
        True,
        False,
    ]
    assert {t["function"]["name"] for t in sent["tools"]} <= {"lamp.dim", "start_timer", "list_add"}
    assert sent["tools"][0]["function"]["parameters"]["type"] == "object", "JSON Schema's own word"
    assert [m["role"] for m in sent["messages"]] == ["user"]


def test_an_endpoint_without_a_parser_is_told_in_the_prompt(bench: Bench) -> None:
    texts = {sha_of(PARALLEL, k): RIGHT[k] for k in ("parallel_900", "parallel_multiple_900")}
    rules = [{"match": sha, "set": {"texts": [text]}} for sha, text in texts.items()]
    with mock_server(rules=rules) as mock:
        more = ["-M", "tools=prompt", "-M", "system=Be brief.", "--out", bench.tmp / "a"]
        done = bench.here(*openai(mock.url, "--task", PARALLEL, "--data-dir", SMOKE, *more))
        assert done.code == 0, done.said
        sent = mock.stats()["last"]
        api, told = (OpenAIRunner("m", base_url=mock.url, tools=t).identity() for t in ("api", "prompt"))
    assert "tools" not in sent and [m["role"] for m in sent["messages"]] == ["system", "user"]
    system = sent["messages"][0]["content"]
    assert system.startswith("Be brief.\n\nSome requests need a tool.")
    tools = [json.loads(r["function"]) for r in records(PARALLEL)]
    assert any(tool_prompt.tool_lines(t) in system for t in tools)
    assert {v["value"] for v in verdicts(bench, PARALLEL).values()} == {1.0}
    assert "tools" not in api and str(told["tools"]).startswith("prompt@"), "part of who answered"


def test_the_option_takes_api_prompt_or_a_file() -> None:
    with pytest.raises(UsageError, match="tools must be api, prompt, or a file"):
        OpenAIRunner("m", base_url="http://x/v1", tools="both")


# --- the prompt of a checkpoint ------------------------------------------------------------------

TEMPLATE = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\nCall {these}:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\n\\nSay <tool_call>\\n{\\"name\\": ...}\\n</tool_call><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages if message.role != 'system' %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
"""
"""Built like the templates of Qwen's models, in words of our own."""


def test_the_tools_section_of_a_template() -> None:
    frame = tool_prompt.frame_from(TEMPLATE, "Generate text.")
    assert frame == (
        "Generate text.\n# Tools\n\nCall {these}:\n<tools>\n{tools_definition}\n</tools>\n\n"
        'Say <tool_call>\n{"name": ...}\n</tool_call>'
    )
    tools = json.loads(records(ACE)[0]["function"])
    filled = tool_prompt.fill(frame, tools)
    assert filled.count("\n<tools>\n" + json.dumps(tools[0], ensure_ascii=False) + "\n") == 1
    assert "给植物浇水" in filled, "text as it is, not as escapes"
    assert filled == frame.replace(
        "{tools_definition}", "\n".join(json.dumps(t, ensure_ascii=False) for t in tools)
    )


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}",
        "{{ nothing.of.this }}", "{% broken", "{{ messages[0].content }}{{ tools | tojson | upper }}", "",
        "{{ ''.__class__.__mro__ }}", "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}{{ messages[0].content }}",
    ],
)  # fmt: skip
def test_templates_without_tools_are_refused(template: str) -> None:
    with pytest.raises(UsageError, match="chat template"):
        tool_prompt.frame_from(template, "s")


# --- Table 4 -------------------------------------------------------------------------------------

COLUMNS = ("GPT-Audio", "Gemini-2.5-Pro", "Step-Audio2-Mini", "Fun-Audio-Chat-30B-A3B", "Fun-Audio-Chat-8B")
COUNTS = {
    ACE: (142, 142, 81, 159, 138),
    ACE_PARALLEL: (53, 47, 4, 52, 48),
    SINGLE: (512, 511, 448, 533, 536),
    PARALLEL: (311, 301, 185, 321, 326),
    "speech-fc/smartinteract-single": (446, 529, 280, 562, 533),
}
"""Right answers behind each printed accuracy: sheet section 8."""


def accuracy(task: Task, right: int) -> float:
    metric = task.variants["official"].headline
    rows = [[1.0, 1.0]] * right + [[0.0, 1.0]] * ((task.expected or 0) - right)
    value = estimate(rows, metric.pool).value
    assert value is not None
    return (value if metric.rounds is None else round(value, metric.rounds)) * metric.scale


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
def test_counts_print_as_table_4_has_them(task: Task) -> None:
    [cell] = task.cells
    row = published("4", SECTION).row(cell.row, cell.language)
    assert row is not None and row.language == task.languages[0]
    for model, right in zip(COLUMNS, COUNTS[task.name], strict=True):
        assert round_half_up(accuracy(task, right), 2) == row.value(model)
        for other in (right - 1, right + 1):
            assert round_half_up(accuracy(task, other), 2) != row.value(model), "no other count prints so"


@pytest.mark.parametrize(("k", "model"), list(enumerate(COLUMNS)))
def test_overall_is_the_mean_of_what_is_printed(k: int, model: str) -> None:
    value = computed(OVERALLS[0], {t.name: accuracy(t, COUNTS[t.name][k]) for t in TASKS})
    total = published("4", SECTION).row("Overall")
    assert value is not None and total is not None
    assert round_half_up(value, 2) == total.value(model)


def test_acebench_is_rounded_before_it_is_printed(bench: Bench) -> None:
    """52 of 88 are 59.0909 %; the public scorer prints 59.10."""
    base = records(ACE_PARALLEL)[0]
    rows = [
        (base | {"dataset_key": f"{k}"}, RIGHT[base["dataset_key"]] if k < 52 else "no calls")
        for k in range(88)
    ]
    assert scored(bench, ACE_PARALLEL, rows).code == 0
    assert result(bench.tmp / "s", ACE_PARALLEL)["value"] == 59.1
    assert round_half_up(result(bench.tmp / "s", ACE_PARALLEL, "strict")["value"], 2) == 59.09


@pytest.mark.parametrize("task", TASKS, ids=lambda t: t.name)
def test_the_printed_number_beside_ours_is_this_row(bench: Bench, task: Task) -> None:
    """Three rows are called "Single", two "Parallel"; each has its own number."""
    done = scored(bench, task.name, [(r, RIGHT[r["dataset_key"]]) for r in records(task.name)])
    row = published("4", SECTION).row(task.cells[0].row)
    assert row is not None
    [line] = [x for x in done.out.splitlines() if x.startswith(f"  {task.title}  Accuracy  ")]
    assert row.values["Fun-Audio-Chat-8B"] in line.split()


def test_declarations() -> None:
    assert [(t.name, t.expected) for t in TASKS] == [
        *((ACE, 208), (ACE_PARALLEL, 88), (SINGLE, 578), (PARALLEL, 372)),
        ("speech-fc/smartinteract-single", 668),
    ]
    assert {t.modality for t in TASKS} == {Modality.S2T}
