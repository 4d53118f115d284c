"""Data sets of one's own by a manifest: every scorer end to end, every kind of file, every mistake in one sentence."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks._custom_manifest import Manifest, read_manifest, sentence
from benchmarks.custom import task_of
from evalkit.chat import ChatReply, ChatRequest
from evalkit.errors import UsageError
from evalkit.interfaces import Answer, Roles
from evalkit.records import Modality, Response, Sample, Turn
from evalkit.registry import catalogue
from evalkit.sources import DataOptions, open_source
from judges.custom import ExactMatch, custom_judge, own_rubric
from judges.prompts import fence_for, load_rubric
from judges.wer.words import Words
from tests.cli_fixtures import Bench, Done, bench, judged, refused, result
from tests.mock_fixtures import mock_server
from tests.mock_openai import tone_wav

__all__ = ["bench"]

HEAD = {"evalkit_task": 1, "name": "mine", "data": "rows.jsonl"}
ROWS = [
    {
        "id": "a",
        "audio": "a.wav",
        "question": "Capital of Italy?",
        "answer": "Rome",
        "choices": ["Rome", "Bonn"],
        "room": "x",
    },
    {
        "id": "b",
        "audio": "b.wav",
        "question": "Capital of Peru?",
        "answer": "Lima",
        "choices": ["Oslo", "Lima"],
        "room": "y",
    },
    {
        "id": "c",
        "audio": "c.wav",
        "question": "Two and two?",
        "answer": "four",
        "choices": ["four", "five"],
        "room": "x",
    },
]


@pytest.fixture
def home(bench: Bench) -> Path:
    """A folder with rows and their audio; the test writes the manifest."""
    folder = bench.tmp / "mine"
    folder.mkdir()
    write(folder / "rows.jsonl", ROWS)
    for k, name in enumerate("abc"):
        (folder / f"{name}.wav").write_bytes(tone_wav(0.2, hz=300.0 + 50 * k))
    return folder


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(dict(r), ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def manifest(folder: Path, scorer: Any = "exist-match", file: str = "m.yaml", **more: Any) -> Path:
    content = {**HEAD, "scorer": scorer, **more}
    path = folder / file
    dump = json.dumps if file.endswith("json") else lambda x: yaml.safe_dump(x, allow_unicode=True)
    path.write_text(dump({k: v for k, v in content.items() if v is not None}), encoding="utf-8")
    return path


def answered(
    bench: Bench, path: Path, texts: Sequence[str], *more: object, ids: Sequence[str] = "abc"
) -> Done:
    answers = write(
        bench.tmp / "answers.jsonl", [{"id": i, "text": t} for i, t in zip(ids, texts, strict=True)]
    )
    out = ["--out", bench.tmp / "out", "--progress", "none", "--no-report"]
    return bench.here("run", "--model", f"replay/{answers}", "--task", path, *out, *more)


def shown(bench: Bench, path: Path) -> list[dict[str, Any]]:
    done = bench.here("show", path, "--json", "--limit", "9")
    assert done.code == 0, done.said
    return [json.loads(line) for line in done.out.splitlines()]


# --- every scorer ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scorer", "texts", "metric", "value"),
    [
        ("choice", ("(A)", "Lima", "five"), "acc", 200 / 3),
        ("exact-match", ("rome!", "Lima it is", "The four"), "acc", 200 / 3),
        ("exist-match", ("It is Rome.", "lima", "for"), "acc", 200 / 3),
        ("wer", ("rome", "limas", "for"), "wer", 200 / 3),
        ("cer", ("rome", "limas", "4"), "cer", 100 / 9),
        ("refusal", ("", "I can't help with that.", "Sure"), "refusal", 200 / 3),
    ],
)
def test_a_rule(
    bench: Bench, home: Path, scorer: str, texts: Sequence[str], metric: str, value: float
) -> None:
    done = answered(bench, manifest(home, scorer), texts)
    assert done.code == 0, done.said
    found = result(bench.tmp / "out", "custom/mine")
    assert (found["value"], found["n"], found["n_scored"]) == (pytest.approx(value), 3, 3)
    assert found == result(bench.tmp / "out", "custom/mine", metric), "it is the headline"


@pytest.mark.parametrize(
    ("scorer", "reply", "value"),
    [
        ("llm-judge", "Same city.\nyes", 100.0),
        ({"kind": "llm-judge", "rubric": "right-wrong"}, "No.", 0.0),
        ({"kind": "llm-judge", "rubric": "rating"}, "Rating: [[4]]", 4.0),
        ({"kind": "llm-judge", "rubric": "Is {answer} kind?"}, "It is.\nYes", 100.0),
        (
            {"kind": "llm-judge", "rubric": "Rate {answer} for {question} by {reference}", "scale": [0, 100]},
            "[[70]]",
            70.0,
        ),
    ],
)
def test_a_judge(bench: Bench, home: Path, scorer: Any, reply: str, value: float) -> None:
    with mock_server(texts=[reply]) as mock:
        done = answered(bench, manifest(home, scorer), ("Rome", "Lima", "five"), *judged(mock.url))
        assert mock.requests() == 3
    assert done.code == 0, done.said
    found = result(bench.tmp / "out", "custom/mine")
    assert (found["value"], found["n_scored"]) == (value, 3)


def test_a_judge_by_recorded_replies(bench: Bench, home: Path) -> None:
    path = manifest(home, {"kind": "llm-judge", "rubric": "Rate {answer}", "scale": [1, 5]})
    replies = ("[[5]]", "[[9]]", "five")
    answers = [{"id": i, "text": "x", "judge": r} for i, r in zip("abc", replies, strict=True)]
    file = write(bench.tmp / "p.jsonl", answers)
    done = bench.here("score", file, "--task", path, "--out", bench.tmp / "out", "--no-report")
    assert done.code == 1, done.said  # more is unscored than scored
    assert "from the hub" not in done.err
    found = result(bench.tmp / "out", "custom/mine")
    assert (found["value"], found["n_scored"]) == (5.0, 1)
    assert set(found["reasons"]) == {"judge-out-of-range", "judge-unparseable"}
    assert (found["bounds"], found["unit"]) == ([pytest.approx(7 / 3), 5.0], "1-5")


@pytest.mark.parametrize("scorer", ["choice", "exact-match", "exist-match", "wer", "refusal", "llm-judge"])
def test_spoken_answers_are_scored_by_their_transcript(bench: Bench, home: Path, scorer: str) -> None:
    path = manifest(home, scorer, modality="S2S")
    task = task_of(str(path))
    _, variant = task.variant(None)
    assert "asr" in variant.roles and all(j.reads == "speech" for j in variant.judges(Roles()))
    (bench.tmp / "say.wav").write_bytes(tone_wav(0.2))
    answers = [
        {"id": r["id"], "text": "wrong", "audio": "say.wav", "transcript": r["answer"], "judge": "yes"}
        for r in ROWS
    ]
    file = write(bench.tmp / "p.jsonl", answers)
    done = bench.here("score", file, "--task", path, "--out", bench.tmp / "out", "--no-report")
    assert done.code == 0, done.said
    assert result(bench.tmp / "out", "custom/mine")["value"] == (
        0.0 if scorer in ("wer", "refusal") else 100.0
    )


# --- rows ------------------------------------------------------------------------------------------


def test_a_mandarin_set(bench: Bench, home: Path) -> None:
    write(home / "rows.jsonl", [{"id": "a", "audio": "a.wav", "answer": "博物馆九点开门"}])
    done = answered(bench, manifest(home, "cer", language="zh"), ["博物馆，八点开门。"], ids="a")
    assert done.code == 0, done.said
    assert result(bench.tmp / "out", "custom/mine")["value"] == pytest.approx(100 / 7)


@pytest.mark.parametrize(
    ("language", "reference", "answer", "wer", "cer"),
    [
        ("de", "Die schöne Straße über Köln", "die schöne Straße über Bonn", 1 / 5, 3 / 23),
        ("ru", "Привет, мир!", "привет мор", 1 / 2, 1 / 9),
        ("fr", "L'été à Noël", "l'été à la Noël", 1 / 4, 2 / 9),
        ("ko", "안녕하세요 세계", "안녕하세요 세상", 1 / 2, 1 / 7),
        ("ja", "東京はスーパー", "東京はスーパ", 1 / 7, 1 / 7),
    ],
)
def test_words_of_any_language(
    bench: Bench, home: Path, language: str, reference: str, answer: str, wer: float, cer: float
) -> None:
    """A letter beyond ASCII ends no word."""
    write(home / "rows.jsonl", [{"id": "a", "audio": "a.wav", "answer": reference}])
    done = answered(bench, manifest(home, "wer", language=language), [answer], ids="a")
    assert done.code == 0, done.said
    task = json.loads((bench.tmp / "out/results.json").read_text())["tasks"]["custom/mine"]
    found = {m: v["value"] for m, v in task["metrics"].items()}
    assert found == pytest.approx({"wer": 100 * wer, "cer": 100 * cer})


@given(st.lists(st.text(st.characters(categories=["Ll", "Lu"], max_codepoint=0x24F), min_size=1), min_size=1))
def test_words_are_what_blanks_part(words: list[str]) -> None:
    assert Words().tokens("  ".join(words)) == words
    assert Words(char=True).tokens(" ".join(words)) == list("".join(words))


@pytest.mark.parametrize("language", ["en", "en-US", "en_GB"])
def test_any_english_is_normalised_as_english(bench: Bench, home: Path, language: str) -> None:
    write(home / "rows.jsonl", [{"id": "a", "audio": "a.wav", "answer": "it's twenty one"}])
    done = answered(bench, manifest(home, "wer", language=language), ["It is 21."], ids="a")
    assert done.code == 0 and result(bench.tmp / "out", "custom/mine")["value"] == 0.0, done.said


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_every_kind_of_file_gives_the_same_samples(bench: Bench, home: Path, kind: str) -> None:
    wanted = shown(bench, manifest(home, "choice"))
    path = home / f"rows.{kind}"
    flat = [{**r, "choices": "|".join(r["choices"])} for r in ROWS]
    if kind == "json":
        path.write_text(json.dumps(ROWS), encoding="utf-8")
    elif kind in ("csv", "tsv"):
        with path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, list(flat[0]), delimiter="\t" if kind == "tsv" else ",")
            writer.writeheader()
            writer.writerows(flat)
    elif kind == "parquet":
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        rows = [{**r, "audio": {"bytes": (home / str(r["audio"])).read_bytes(), "path": None}} for r in ROWS]
        pq.write_table(pa.Table.from_pylist(rows), path)
    found = shown(bench, manifest(home, "choice", data=path.name, separator="|"))
    for one, two in zip(wanted, found, strict=True):
        assert [one[k] for k in ("id", "target", "meta", "input")] == [
            two[k] for k in ("id", "target", "meta", "input")
        ]


def test_places_start_at_the_manifest_and_at_the_rows(bench: Bench, home: Path, monkeypatch: Any) -> None:
    """Whatever the working folder is; several files; audio in a folder of its own; a manifest in JSON."""
    deep = home / "deep" / "rows"
    deep.mkdir(parents=True)
    (home / "sound").mkdir()
    for k, row in enumerate(ROWS):
        write(deep / f"part-{k}.jsonl", [row])
        (home / str(row["audio"])).rename(home / "sound" / str(row["audio"]))
    path = manifest(home, file="m.json", data={"path": "deep/rows/*.jsonl", "audio_dir": "sound"})
    monkeypatch.chdir("/")
    assert [s["id"] for s in shown(bench, path)] == ["a", "b", "c"]
    monkeypatch.chdir(home)
    assert [s["id"] for s in shown(bench, Path("m.json"))] == ["a", "b", "c"]


def test_a_folder_in_a_layout_of_the_hub(bench: Bench, home: Path) -> None:
    (home / "set" / "en").mkdir(parents=True)
    write(home / "set" / "en" / "dev.jsonl", ROWS)
    for name in "abc":
        (home / f"{name}.wav").rename(home / "set" / "en" / f"{name}.wav")
    path = manifest(home, data={"path": "set", "config": "en", "split": "dev"})
    assert [s["id"] for s in shown(bench, path)] == ["a", "b", "c"]
    refused(bench.here("show", manifest(home, data={"path": "set"})), "m.yaml", "'set'", "split 'test'")


def test_a_file_may_be_called_like_a_pattern(bench: Bench, home: Path) -> None:
    write(home / "rows[1].jsonl", [{**ROWS[0], "id": 7.0}])
    assert [s["id"] for s in shown(bench, manifest(home, data="rows[1].jsonl"))] == ["7"]


def test_a_folder_of_save_to_disk_is_told(bench: Bench, home: Path) -> None:
    (home / "saved").mkdir()
    (home / "saved/state.json").write_text("{}")
    refused(
        bench.here("show", manifest(home, data="saved")), "'saved' was written by save_to_disk", "to_parquet"
    )


@pytest.mark.parametrize("absolute", [False, True])
def test_files_in_several_folders(bench: Bench, home: Path, absolute: bool) -> None:
    """Audio lies beside its row's file."""
    for row in ROWS:
        folder = home / "rooms" / str(row["id"])
        folder.mkdir(parents=True)
        write(folder / "rows.jsonl", [row])
        (home / str(row["audio"])).rename(folder / str(row["audio"]))
    pattern = str(home / "rooms/*/rows.jsonl") if absolute else "rooms/*/rows.jsonl"
    assert [s["id"] for s in shown(bench, manifest(home, data=pattern))] == ["a", "b", "c"]


def test_predictions_that_bring_their_rows(bench: Bench, home: Path) -> None:
    """Neither the data nor the audio is needed then."""
    path = manifest(home, "choice", data="elsewhere.csv", columns={"answer": "key"})
    rows = [{"question": "?", "choices": ["x", "y"], "key": k} for k in ("x", "B", "x")]
    answers = [{"id": i, "text": t, "row": r} for i, t, r in zip("abc", ("A", "y", "y"), rows, strict=True)]
    file = write(bench.tmp / "p.jsonl", answers)
    done = bench.here("score", file, "--task", path, "--out", bench.tmp / "out", "--no-report")
    assert done.code == 0, done.said
    assert result(bench.tmp / "out", "custom/mine")["value"] == pytest.approx(200 / 3)


def test_a_hub_data_set_from_a_local_copy(bench: Bench, home: Path) -> None:
    bench.rows([{**r, "audio": f"en/{r['audio']}"} for r in ROWS], "en", repo="acme/museum")
    for name in "abc":
        (home / f"{name}.wav").rename(bench.data / "acme/museum/en" / f"{name}.wav")
    path = manifest(home, data={"hub": "acme/museum", "config": "en", "revision": "v1"})
    done = bench.here("show", path, "--data-dir", bench.data, "--ids", "--limit", "9")
    assert done.out.split() == ["a", "b", "c"], done.said
    assert (task_of(str(path)).data.revision, task_of(str(path)).data.licence) == ("v1", "not stated")
    offline = bench.here("show", path)
    assert offline.code == 2 and "acme/museum" in offline.err


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        (None, ()),
        ("Answer: {question}", ("Answer: Capital of Italy?",)),
        ("{question}\n{choices}\n{oops", ("Capital of Italy?\nA. Rome\nB. Bonn\n{oops",)),
        (
            "choices",
            ("Capital of Italy? Choose the correct option from the following options:\n(A)Rome\n(B)Bonn",),
        ),
    ],
)
def test_what_the_model_is_asked(
    bench: Bench, home: Path, prompt: str | None, wanted: tuple[str, ...]
) -> None:
    first = shown(bench, manifest(home, prompt=prompt))[0]
    [turn] = first["turns"]
    assert "audio" in turn["parts"][0]
    assert tuple(p["text"] for p in turn["parts"][1:]) == wanted


def test_a_prompt_is_filled_once(bench: Bench, home: Path) -> None:
    write(home / "rows.jsonl", [{**ROWS[0], "question": "{choices} {question}"}])
    [first] = shown(bench, manifest(home, prompt="{question}"))
    assert first["turns"][0]["parts"][1]["text"] == "{choices} {question}"


def test_text_in_text_out(bench: Bench, home: Path) -> None:
    write(home / "rows.jsonl", [{"question": "Capital of Italy?", "answer": ["Rome", "Roma"]}])
    [first] = shown(bench, manifest(home, modality="T2T"))
    assert first["turns"][0]["parts"] == [{"text": "Capital of Italy?"}] and first["target"] == [
        "Rome",
        "Roma",
    ]


def test_ids_are_the_column_or_the_content(bench: Bench, home: Path) -> None:
    bare = [{k: v for k, v in r.items() if k != "id"} for r in ROWS]
    write(home / "rows.jsonl", bare)
    before = [s["id"] for s in shown(bench, manifest(home))]
    write(home / "rows.jsonl", bare[::-1])
    assert [s["id"] for s in shown(bench, manifest(home))] == before[::-1], "never the place"
    (home / "a.wav").write_bytes(tone_wav(0.3))
    after = [s["id"] for s in shown(bench, manifest(home))]
    assert len(set(after) - set(before)) == 1, "another sound is another question"


@pytest.mark.parametrize(
    ("answer", "choices", "target"),
    [
        ("B", ["a stone", "an alloy"], "an alloy"),
        ("(b)", ["a stone", "an alloy"], "an alloy"),
        ("AN ALLOY ", ["a stone", "an alloy"], "an alloy"),
        ("(A)", ["B", "A"], "B"),  # a bare A would be either
        ("A", ["A", "B"], "A"),
        ("B. an alloy", ["a stone", "an alloy"], "an alloy"),
        ("an alloy", ["A. a stone", "B. an alloy"], "an alloy"),
        ("(A) a stone", ["(A) a stone", "(B) an alloy"], "a stone"),
        (["B"], ["a stone", "an alloy"], "an alloy"),
        ("2", ["1", "2"], "2"),
    ],
)
def test_the_right_option(bench: Bench, home: Path, answer: Any, choices: list[str], target: str) -> None:
    write(home / "rows.jsonl", [{**ROWS[0], "answer": answer, "choices": choices}])
    assert shown(bench, manifest(home, "choice"))[0]["target"] == target


def test_choices_in_columns_of_their_own(bench: Bench, home: Path) -> None:
    rows = [
        {
            "id": "a",
            "audio": "a.wav",
            "question": "?",
            "key": "B",
            "w": "Rome",
            "x": "Bonn",
            "y": "",
            "z": None,
        }
    ]
    write(home / "rows.jsonl", rows)
    path = manifest(home, "choice", columns={"choices": ["w", "x", "y", "z"], "answer": "key"})
    [first] = shown(bench, path)
    assert (first["meta"]["choices"], first["target"]) == (["Rome", "Bonn"], "Bonn")


def test_groups_and_labels(bench: Bench, home: Path) -> None:
    path = manifest(home, groups=["room"], metric_label="Hits", title="My set", samples=4)
    assert answered(bench, path, ("Rome", "x", "four")).code == 0
    entry = json.loads((bench.tmp / "out/results.json").read_text(encoding="utf-8"))["tasks"]["custom/mine"]
    assert (entry["title"], entry["n_expected"], entry["metrics"]["acc"]["label"]) == ("My set", 4, "Hits")
    assert {k: v["acc"]["value"] for k, v in entry["groups"]["room"].items()} == {"x": 100.0, "y": 0.0}


def test_beside_tasks_of_the_benchmarks(bench: Bench, home: Path) -> None:
    """One run, both kinds; --data-dir is for the benchmark, the manifest knows where its own rows are."""
    bench.questions(2)
    other = home / "two.yaml"
    other.write_text(yaml.safe_dump({**HEAD, "name": "other", "scorer": "exact-match"}), encoding="utf-8")
    ids = ["a", "b", "c", "q00", "q01"]
    more = ["--task", "voicebench/advbench", "--task", other, "--data-dir", bench.data]
    done = answered(
        bench, manifest(home), ["Rome", "Lima", "4", "I can't help with that.", "ok"], *more, ids=ids
    )
    assert done.code == 0, done.said
    found = json.loads((bench.tmp / "out/results.json").read_text(encoding="utf-8"))["tasks"]
    assert set(found) == {"voicebench/advbench", "custom/mine", "custom/other"}
    again = answered(
        bench, manifest(home), ["Rome", "Lima", "4", "I can't help with that.", "ok"], *more, ids=ids
    )
    assert again.code == 0, "and it resumes"
    refused(
        answered(bench, manifest(home), ["x"] * 3, "--task", manifest(home, file="n.yaml")),
        "custom/mine",
        "name",
    )


def test_no_task_of_the_catalogue_is_called_like_a_manifest() -> None:
    assert not [n for n in catalogue().tasks if n.endswith((".yaml", ".yml", ".json"))]
    assert not [n for n in catalogue().tasks if n.startswith("custom/")]


# --- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"scorer": "choise"}, ("no scorer 'choise'", "choice, exact-match")),
        ({"scorer": None}, ("'scorer' is missing",)),
        ({"scorer": {"kind": "llm-judge", "rubrik": "x"}}, ("'scorer.rubrik'", "did you mean 'rubric'")),
        ({"scorer": {"kind": "llm-judge", "rubric": "rate it, please"}}, ("scorer", "{answer}")),
        ({"scorer": {"kind": "llm-judge", "rubric": "rate {answr} now"}}, ("{answr}", "{reference}")),
        (
            {"scorer": {"kind": "llm-judge", "rubric": "ratings"}},
            ("no rubric 'ratings'", "right-wrong, rating"),
        ),
        ({"scorer": {"kind": "llm-judge", "rubric": "rate {answer}", "scale": [5, 1]}}, ("scale", "[1, 5]")),
        ({"scorer": {"kind": "llm-judge", "scale": [1, 5]}}, ("scale", "rubric of your own")),
        ({"scorer": {"kind": "wer", "normalizer": "mine"}}, ("no normaliser 'mine'", "whisper-basic")),
        ({"colums": {}}, ("no field 'colums'", "did you mean 'columns'")),
        ({"columns": {"anwser": "x"}}, ("no field 'columns.anwser'", "did you mean 'answer'")),
        ({"name": "My Set"}, ("name is 'My Set'", "lower-case")),
        ({"name": None}, ("'name' is missing",)),
        ({"modality": "S2X"}, ("modality is 'S2X'", "'S2T'")),
        ({"evalkit_task": 2}, ("evalkit_task is 2",)),
        ({"data": {"config": "x"}}, ("data:", "either path, or hub")),
        ({"data": {"hub": "museum"}}, ("data.hub is 'museum'", "OWNER/NAME")),
        ({"data": {"hub": "a/b", "audio_dir": "x"}}, ("audio_dir goes with path",)),
        ({"prompt": "{question} {answer}"}, ("prompt has {answer}", "{choices}")),
        ({"samples": 0}, ("samples is 0", "greater than 0")),
        ({"language": "english"}, ("language is 'english'", "ISO code")),
        ({"scorer": {"kind": "wer", "language": "English"}}, ("scorer.language is 'English'", "ISO code")),
        ({"separator": ""}, ("separator is ''",)),
        ({"data": "nowhere.csv"}, ("data:", "no 'nowhere.csv'", "start at the manifest")),
        ({"data": "m.yaml"}, ("m.yaml", "kinds that are read")),
        ({"data": {"path": "rows.jsonl", "audio_dir": "gone"}}, ("audio_dir", "no folder 'gone'")),
    ],
)
def test_a_mistake_in_the_manifest(
    bench: Bench, home: Path, more: dict[str, Any], words: tuple[str, ...]
) -> None:
    path = manifest(home, **{"scorer": "exist-match", **more})
    for command in (["show", path], ["run", "--model", f"replay/{home / 'rows.jsonl'}", "--task", path]):
        line = refused(bench.here(*command), "m.yaml", *words)
        assert len(line) < 500 and "\n" not in line.strip()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": "a" * 101}, ("at most 100",)),
        ({"language": False}, ("language is False", "put it in quotes")),  # what YAML makes of Norwegian
        ({"modality": "s2t"}, ("'S2T'",)),
        ({"groups": "room"}, ("groups is 'room'", "a list")),
        ({"scorer": {"kind": "llm-judge", "rubric": "x {answer}", "scale": "1-5"}}, ("two whole numbers",)),
        ({"scorer": {"kind": "llm-judge", "rubric": "{Question}: {answer}"}}, ("write {question}",)),
        ({"prompt": "{ question }"}, ("write {question}",)),
    ],
)
def test_a_slip_in_the_manifest(
    bench: Bench, home: Path, more: dict[str, Any], words: tuple[str, ...]
) -> None:
    refused(bench.here("show", manifest(home, **{"scorer": "exist-match", **more})), "m.yaml", *words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", ("is not YAML",)),
        ("hello", ("no evalkit manifest", "evalkit_task: 1")),
        ("evalkit_task: 1\nscorer: wer\nscorer: cer\n", ("the field 'scorer' stands twice",)),
        ("evalkit_task: 1\ncolumns: {id: a, id: b}\n", ("the field 'id' stands twice",)),
        ("[]", ("no evalkit manifest",)),
        ("name: x\nscorer: wer\n", ("no evalkit manifest",)),
        ("evalkit_task: !!python/object/apply:os.system ['true']\n", ("is not YAML",)),
        (b"evalkit_task: 1\xff\xfe", ("can't be read",)),
    ],
)
def test_no_manifest(bench: Bench, home: Path, text: str | bytes, words: tuple[str, ...]) -> None:
    path = home / "m.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(bench.here("show", path), "m.yaml", *words)
    refused(bench.here("show", home / "none.yaml"), "none.yaml", "No such file")


def without(column: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in r.items() if k != column} for r in ROWS]


@pytest.mark.parametrize(
    ("rows", "more", "words"),
    [
        (
            without("answer"),
            {},
            ("row 0 of rows.jsonl", "no column 'answer'", "found: id, audio", "columns.answer"),
        ),
        (without("audio"), {}, ("no column 'audio'", "columns.audio")),
        (without("choices"), {"scorer": "choice"}, ("no column 'choices'",)),
        (without("question"), {"scorer": "llm-judge"}, ("no column 'question'",)),
        (without("room"), {"groups": ["room"]}, ("no column 'room'", "groups")),
        (ROWS, {"columns": {"id": "key"}}, ("no column 'key'", "columns.id")),
        ([{**ROWS[0], "answer": " "}], {}, ("row 0", "nothing in column 'answer'")),
        ([{**ROWS[0], "answer": []}], {}, ("empty list of answers",)),
        ([{**ROWS[0], "audio": ""}], {}, ("nothing in column 'audio'",)),
        ([{**ROWS[0], "choices": ["x"]}], {"scorer": "choice"}, ("fewer than two choices",)),
        (
            [{**ROWS[0], "w": "", "x": "Rome"}],
            {"scorer": "choice", "columns": {"choices": ["w", "x"]}},
            ("row 0", "empty choice before others"),
        ),
        ([{**ROWS[0], "answer": ["a", "b"]}], {"scorer": "wer"}, ("several answers", "wer takes one")),
        ([{**ROWS[0], "answer": "C"}], {"scorer": "choice"}, ("answer 'C'", "none of its 2 choices")),
        ([{**ROWS[0], "answer": 2}], {"scorer": "choice"}, ("answer '2'", "letter or its words (no number)")),
        (
            [{**ROWS[0], "answer": ["Rome", "Bonn"]}],
            {"scorer": "choice"},
            ("several answers", "choice takes one"),
        ),
        (
            [{**ROWS[0], "answer": "A", "choices": ["B", "A"]}],
            {"scorer": "choice"},
            ("in brackets, e.g. (B)",),
        ),
        ([{**ROWS[0], "choices": ["Rome", ""]}], {"scorer": "choice"}, ("an empty choice",)),
        (
            [{**ROWS[0], "choices": [{"text": "Rome"}, "x"]}],
            {"scorer": "choice"},
            ("has an object", "choices"),
        ),
        (
            [{**ROWS[0], "answer": {"value": "Rome"}}],
            {},
            ("has an object where a text belongs", "columns.answer"),
        ),
        ([{**ROWS[0], "answer": ["Rome", None]}], {}, ("has null where a text belongs",)),
        ([{**ROWS[0], "answer": ["Rome", " "]}], {}, ("an empty text among its answers",)),
        ([{**ROWS[0], "answer": float("nan")}], {}, ("row 0", "nothing in column 'answer'")),
        ([{**ROWS[0], "id": ["a"]}], {}, ("has a list where a text belongs", "columns.id")),
        ([], {}, ("rows.jsonl holds no rows",)),
        ([ROWS[0], ROWS[1], {**ROWS[2], "id": "a"}], {}, ("row 2", "id 'a'", "row 0", "must be unique")),
        ([without("id")[0]] * 2, {}, ("row 1", "as has row 0", "go by their content")),
        ([{**ROWS[0], "audio": "gone.wav"}], {}, ("row 0", "gone.wav", "No such file")),
        ([{**ROWS[0], "audio": "silent.wav"}], {}, ("row 0", "silent.wav", "holds no sound (0 s)")),
        ([{**ROWS[0], "audio": "broken.wav"}], {}, ("row 0", "broken.wav", "can't be read")),
        ([{**ROWS[0], "audio": "pointer.wav"}], {}, ("pointer.wav", "git lfs pull")),
        ([{**ROWS[0], "audio": "../outside.wav"}], {}, ("row 0", "leaves its folder")),
        ([{**ROWS[0], "audio": "/etc/hostname"}], {}, ("row 0", "leaves its folder")),
    ],
)
def test_a_mistake_in_the_rows(
    bench: Bench, home: Path, rows: list[dict[str, Any]], more: dict[str, Any], words: tuple[str, ...]
) -> None:
    """Told before anything is asked or written."""
    (home / "broken.wav").write_bytes(b"not audio at all")
    (home / "silent.wav").write_bytes(tone_wav(0.0))
    (home / "pointer.wav").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    (home.parent / "outside.wav").write_bytes(tone_wav(0.2))
    write(home / "rows.jsonl", rows)
    line = refused(answered(bench, manifest(home, **more), ("x", "y", "z")), "custom/mine", *words)
    assert len(line) < 500
    assert not (bench.tmp / "out" / "run.json").exists()


def test_what_is_not_asked_for_may_be_anything(bench: Bench, home: Path) -> None:
    odd = {"question": {"text": "?"}, "choices": ["x", ""]}
    write(home / "rows.jsonl", [{**ROWS[0], **odd}])
    assert [s["target"] for s in shown(bench, manifest(home, "wer"))] == ["Rome"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,audio,answer,answer\na,a.wav,Rome,Bonn\n", "rows.csv has two columns 'answer'"),
        ("id,audio,answer\na,a.wav,Rome, Italy\n", "row 0 of rows.csv has more cells"),
        ("id,audio,answer,room\na,a.wav,Rome\n", "row 0 of rows.csv has fewer cells"),
        ('id,audio,answer\na,a.wav,"Rome\nb,b.wav,Lima\n', "rows.csv:2: a quotation mark"),
    ],
)
def test_a_table_whose_cells_would_go_astray(bench: Bench, home: Path, text: str, words: str) -> None:
    (home / "rows.csv").write_text(text)
    refused(bench.here("show", manifest(home, data="rows.csv")), words)


def test_a_separator_may_be_blank(bench: Bench, home: Path) -> None:
    for separator in ("\n", " - "):
        write(home / "rows.jsonl", [{**ROWS[0], "choices": separator.join(["Rome", "Bonn-Süd"])}])
        [first] = shown(bench, manifest(home, "choice", separator=separator))
        assert first["meta"]["choices"] == ["Rome", "Bonn-Süd"]


NAMES = st.sampled_from([*Manifest.model_fields, "kind", "rubric", "path", "hub", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(NAMES, x, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_no_manifest_takes_the_reader_down(value: Any) -> None:
    content = {**HEAD, "scorer": "wer", **(value if isinstance(value, dict) else {"data": value})}
    try:
        Manifest.model_validate(content)
    except ValidationError as exc:
        assert "\n" not in sentence(exc).strip() or "\n" in repr(content)


# --- rubrics ---------------------------------------------------------------------------------------


class Echo:
    label, meaningful = "echo", True

    def __init__(self) -> None:
        self.asked = ChatRequest(())

    async def chat(self, request: ChatRequest) -> ChatReply:
        self.asked = request
        return ChatReply(("[[3]]\nyes",), "echo")


@given(words=st.text(), answer=st.text())
def test_an_own_rubric_is_sent_as_it_is_written(words: str, answer: str) -> None:
    """Braces, quotes, template marks and all; and an answer can't leave its fence."""
    text = f"{words}\n{{answer}}\nend"
    rubric = own_rubric(text, (1, 5))
    fields = dict.fromkeys(rubric.placeholders, answer)
    rendered, fence = rubric.render(**fields), fence_for(fields)
    assert f"<<<{fence} ANSWER\n{answer}\n{fence} END OF ANSWER>>>" in rendered
    if not any(f"{{{n}}}" in words for n in ("question", "answer", "reference")):
        assert words.strip() in rendered
    assert fence not in answer


def test_what_an_own_rubric_shows() -> None:
    model = Echo()
    text = 'Guide said {answer}, visitor asked {question}, right is {reference}. Format: {"n": 1}, {{x}}, {% raw %}.'
    judge = custom_judge(text, (1, 5), model)
    sample = Sample(
        "a", "custom/x", (Turn("user", ()),), target=["Rome", "Roma"], meta={"question": "Where?"}
    )
    [found] = asyncio.run(judge.ask(sample, Answer(" in Rome ", Response("a", text=" in Rome "))))
    prompt = str(model.asked.messages[-1][1])
    assert found.value == 3.0 and found.metric == "rating"
    assert "\n in Rome \n" in prompt and "\nRome\nRoma\n" in prompt and "\nWhere?\n" in prompt
    assert 'Format: {"n": 1}, {{x}}, {% raw %}.' in prompt and "from 1 to 5" in prompt
    blank = Sample("a", "custom/x", (Turn("user", ()),), target=None, meta={"question": "Where?"})
    [none] = asyncio.run(judge.ask(blank, Answer("x", Response("a", text="x"))))
    assert none.value is None and (none.reason or "").startswith("no-reference")


@pytest.mark.parametrize("name", ["right_wrong", "rating"])
@pytest.mark.parametrize("answer", ["{{ 7*7 }}", "{% raw %}", " a\n\n"])
def test_the_built_in_rubrics_show_an_answer_as_it_is(name: str, answer: str) -> None:
    rubric = load_rubric(f"custom_{name}")
    fields = dict.fromkeys(rubric.placeholders, answer)
    assert f"\n{answer}\n{fence_for(fields)} END OF ANSWER" in rubric.render(**fields)
    assert rubric.stands_for == (), "no public wording"


def test_signatures_follow_the_rubric() -> None:
    signed = {
        custom_judge(text, scale, None).signature
        for text, scale in (
            ("right-wrong", "right-wrong"),
            ("rating", "right-wrong"),
            ("Is {answer} good?", "right-wrong"),
            ("Is {answer} fine?", "right-wrong"),
            ("Is {answer} good?", (1, 5)),
            ("Is {answer} good?", (1, 10)),
        )
    }
    assert len(signed) == 6 and not any("|" in s for s in signed)


@pytest.mark.parametrize(
    ("target", "text", "value"),
    [
        ("A", "", 0),
        ("A", "the", 0),
        ("A", "a.", 1),
        ("%", "", 0),
        ("%", " % ", 1),
        (["the", "Rome"], "rome", 1),
    ],
)
def test_a_reference_of_articles_or_marks_alone(target: Any, text: str, value: float) -> None:
    [found] = ExactMatch().score(Sample("a", "x", (), target=target), Answer(text, Response("a")))
    assert found.value == value


def test_exact_match_needs_a_reference() -> None:
    for target in (None, "", []):
        [found] = ExactMatch().score(Sample("a", "x", (), target=target), Answer("", Response("a")))
        assert found.value is None and (found.reason or "").startswith("no-reference")
    [found] = ExactMatch().score(Sample("a", "x", (), target=["b", "A cat!"]), Answer("cat", Response("a")))
    assert found.value == 1.0 and found.detail["matched_reference"] == "A cat!"


# --- nothing but what the manifest says ------------------------------------------------------------


def test_the_catalogue_stays_light() -> None:
    """The manifest's schema is loaded when a manifest is, not at every start."""
    import subprocess
    import sys

    code = "import sys, benchmarks.custom; print([m for m in ('pydantic', 'yaml') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_source_says_what_was_read(home: Path) -> None:
    task = task_of(str(manifest(home, licence="CC0-1.0", citation="GitHub me/mine")))
    source = open_source(task.data, DataOptions(data_dir="/nowhere"), task=task.name)
    described = source.describe()
    assert (described["repo"], described["kind"], described["licence"]) == ("rows.jsonl", "custom", "CC0-1.0")
    assert task.modality is Modality.S2T and str(home) not in json.dumps(described)
    with pytest.raises(UsageError, match="no evalkit manifest"):
        read_manifest(write(home / "x.json", [{"a": 1}]))
