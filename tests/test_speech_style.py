"""Spoken style and empathy on a manifest: validation before anything is asked, what judges hear, weights."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks._style_manifest import check, meta_path
from benchmarks.speech_style import HEARD, SETS
from evalkit.folders import DataOptions
from evalkit.interfaces import Answer, Roles
from evalkit.published import published
from evalkit.records import Audio, Response
from evalkit.registry import catalogue
from evalkit.sources import open_source
from judges.lalm import SCORED_1
from judges.lalm_presets import WITHHELD
from judges.prompts import load_rubric
from tests.cli_fixtures import Bench, bench, lines, refused, result
from tests.mock_fixtures import mock_server
from tests.mock_openai import tone_wav
from tests.test_vstyle import Hearing, digests

__all__ = ["bench"]

SMOKE = Path(__file__).parent.parent / "benchmarks" / "smoke"
OWN = SMOKE / "local" / "speech-style"
IF, SEMANTIC, PARALINGUISTIC = (f"speech-style/{subset}" for _, subset, _ in SETS)

Row = dict[str, Any]


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[[Callable[[list[Row]], object]], Path]:
    """A copy of the smoke set, changed; without the meta file, whose digest would tell."""

    def make(change: Callable[[list[Row]], object] = lambda rows: None) -> Path:
        folder = tmp_path / "set"
        shutil.copytree(OWN, folder, dirs_exist_ok=True)
        rows = lines(folder / "manifest.jsonl")
        change(rows)
        path = folder / "manifest.jsonl"
        path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
        meta_path(path).unlink()
        return path

    return make


# --- the manifest -----------------------------------------------------------------------------------


def test_the_smoke_set_is_in_order() -> None:
    found = check(OWN / "manifest.jsonl")
    assert found.problems == [] and [found.items(t) for t, _, _ in SETS] == [2, 2, 2]
    assert len(found.warnings) == 3 and all("fewer than 20" in w for w in found.warnings)


def setting(k: int, **values: Any) -> Callable[[list[Row]], None]:
    def change(rows: list[Row]) -> None:
        rows[k].update(values)
        for name in [n for n, v in values.items() if v is ...]:
            del rows[k][name]

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (setting(1, id="if-1"), r"manifest.jsonl:2: the id 'if-1' stands on line 1 already"),
        (setting(0, id=...), r"manifest.jsonl:1: the field 'id' is missing"),
        (setting(0, id=7), r":1: field 'id'"),
        (setting(0, track="singing"), r":1: field 'track'"),
        (setting(0, transcript="  "), r":1: field 'transcript'"),
        (setting(0, language="English, please"), r":1: field 'language'"),
        (setting(0, requirements=[]), r":1: the track speech_if needs requirements"),
        (setting(0, requirements=...), r":1: the track speech_if needs requirements"),
        (setting(0, content={"mode": "verbatim"}), r":1: content that is verbatim needs its text"),
        (setting(0, content=...), r":1: the track speech_if needs content"),
        (setting(0, weight=0), r":1: field 'weight'"),
        (setting(0, weight=float("nan")), r":1: field 'weight'"),
        (setting(2, user_state=...), r":3: the track empathy_semantic needs user_state"),
        (setting(2, user_state={"emotion": "sad", "intensity": 101}), r":3: field 'user_state.intensity'"),
        (setting(4, cue=...), r":5: the track empathy_paralinguistic needs cue"),
        (setting(4, cue={"type": "emotion"}), r":5: the field 'cue.description' is missing"),
        (setting(3, history=[{"role": "judge", "text": "x"}]), r":4: field 'history.0.role'"),
        (setting(0, audio="audio/none.mp3"), r":1: audio/none.mp3: No such file"),
        (setting(0, audio="../../etc/passwd"), r":1: the path .* leaves its folder"),
        (setting(0, audio="manifest.jsonl"), r":1: .*can't be read"),
        (setting(0, audio="short.wav"), r":1: short.wav is 0.20 s long, not 0.3 to 60 s"),
        (setting(0, audio="long.wav"), r":1: long.wav is 60.50 s long"),
        (lambda rows: rows.clear(), r"the manifest holds no items"),
    ],
)
def test_what_has_to_be_mended(
    manifest: Callable[..., Path], change: Callable[[list[Row]], object], says: str
) -> None:
    path = manifest(change)
    (path.parent / "short.wav").write_bytes(tone_wav(0.2, rate=8000))
    (path.parent / "long.wav").write_bytes(tone_wav(60.5, rate=8000))
    found = check(path)
    assert len(found.problems) == 1, found.problems
    import re

    assert re.search(says, found.problems[0]), found.problems[0]


def test_lines_that_are_no_items(manifest: Callable[..., Path]) -> None:
    path = manifest()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\n{cut off\n[]\n")
    found = check(path)
    assert [p.partition(": ")[2][:8] for p in found.problems] == ["not JSON", "expected"]
    assert f"{path}:8" in found.problems[0] and found.items("speech_if") == 2


def test_the_meta_file_is_compared(manifest: Callable[..., Path]) -> None:
    path = manifest()
    assert any("no manifest.meta.json" in w for w in check(path).warnings)
    good = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "counts": {"speech_if": 2}}
    meta_path(path).write_text(json.dumps(good))
    assert check(path).problems == []
    for wrong, says in (
        ({"sha256": "0" * 64}, "sha256 is 000000000000..."),
        ({"counts": {"speech_if": 3}}, "counts of speech_if say 3 items, the manifest has 2"),
        ({"counts": {"speech_if": {"prosody": 1}}}, "say 0 of emotion, the manifest has 1"),
        (
            {"counts": {"speech_if": {"prosody": 1, "emotion": 1}, "empathy_semantic": {}}},
            "counts of empathy_semantic",
        ),
    ):
        meta_path(path).write_text(json.dumps(wrong))
        [problem] = check(path).problems
        assert says in problem
    meta_path(path).write_text("[]")
    assert "not a JSON object" in check(path).problems[0]


def test_a_pair_has_two_cues(manifest: Callable[..., Path]) -> None:
    assert not any("'home'" in w for w in check(manifest()).warnings)
    cue = {"type": "emotion", "description": "speaks slowly and dully"}
    assert any("the pair 'home' has one cue only" in w for w in check(manifest(setting(5, cue=cue))).warnings)


def test_the_command_tells_all_of_it(bench: Bench, manifest: Callable[..., Path]) -> None:
    done = bench.here("manifest", "check", OWN)
    assert done.code == 0 and "speech_if: 2 items (emotion 1, prosody 1)" in done.out, done.said
    path = manifest(lambda rows: [rows[0].update(transcript=""), rows[4].pop("cue")])
    done = bench.here("manifest", "check", path)
    assert done.code == 2 and done.err.count("mend: ") == 2, done.said
    told = json.loads(bench.here("manifest", "check", path, "--json").out)
    assert len(told["problems"]) == 2 and told["counts"]["empathy_semantic"]


# --- data -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("track", "subset"), [(t, s) for t, s, _ in SETS])
def test_each_task_takes_its_own_rows(track: str, subset: str) -> None:
    task = catalogue().tasks[f"speech-style/{subset}"]
    for place in (OWN, OWN / "manifest.jsonl", SMOKE):
        source = open_source(task.data, DataOptions(str(place)), task=task.name)
        rows = list(source.rows())
        assert [r["track"] for r in rows] == [track] * 2
        assert [task.to_sample(task.name, r).id for r in rows] == [r["id"] for r in rows]


def test_earlier_turns_and_system_prompt_are_given_to_the_model(manifest: Callable[..., Path]) -> None:
    spoken = [
        {"role": "user", "text": "Hello?", "audio": "audio/if-1.mp3"},
        {"role": "assistant", "text": "Yes?"},
    ]
    path = manifest(setting(3, history=spoken, system_prompt="Be kind."))
    task = catalogue().tasks[SEMANTIC]
    rows = open_source(task.data, DataOptions(str(path)), task=task.name).rows()
    sample = [task.to_sample(task.name, r) for r in rows][1]
    assert [(t.role, [isinstance(p, Audio) for p in t.parts]) for t in sample.turns] == [
        ("system", [False]), ("user", [True]), ("assistant", [False]), ("user", [True]),
    ]  # fmt: skip
    assert sample.meta["history"] == "user: Hello?\nassistant: Yes?"


def test_the_rows_of_table_6() -> None:
    printed = {r.name for r in published("6", "Internal test set").rows}
    assert printed == {title for _, _, title in SETS}
    assert all(
        c.row == t.title
        for _, s, _ in SETS
        for t in [catalogue().tasks[f"speech-style/{s}"]]
        for c in t.cells
    )


# --- judges -----------------------------------------------------------------------------------------


def judged(task: str, protocol: str, **options: Any) -> tuple[str, list[str], list[str]]:
    """Prompt, digests heard and digests expected (user, reply) for the first sample of the smoke set."""
    found = catalogue().tasks[task]
    model = Hearing(["[[3]]"])
    [judge] = found.variants[protocol].judges(Roles(lalm=model, options=options))
    row = next(iter(open_source(found.data, DataOptions(str(OWN)), task=task).rows()))
    sample = found.to_sample(task, row)
    reply = Audio(data=tone_wav(0.2))
    [verdict] = asyncio.run(judge.ask(sample, Answer("", Response(sample.id, audio=reply))))
    assert verdict.value == 3.0
    prompt = model.asked[0].messages[0][1][0]
    return str(prompt), digests(model.asked[0]), [sample.audios[-1].digest(), reply.digest()]


def test_only_the_paralinguistic_judge_hears_the_user() -> None:
    for track, subset, _ in SETS:
        name = f"speech-style/{subset}"
        _, heard, (user, reply) = judged(name, "strict")
        assert heard == ([user, reply] if track == HEARD else [reply])
        assert judged(name, "strict", judge_user_audio="yes")[1] == [user, reply]
        assert judged(name, "vstyle", judge_user_audio="no")[1] == [reply]


def test_the_control_run_knows_neither_voice_nor_cue() -> None:
    prompt, heard, (_, reply) = judged(PARALINGUISTIC, "strict")
    assert "type: fatigue; description: speaks slowly and dully" in prompt and len(heard) == 2
    prompt, heard, (_, reply) = judged(PARALINGUISTIC, "control", judge_user_audio="yes")
    assert "speaks slowly" not in prompt and "fatigue; " not in prompt and WITHHELD in prompt
    assert heard == [reply]
    assert "control" not in catalogue().tasks[SEMANTIC].variants


def test_prompts_say_what_the_manifest_says() -> None:
    prompt, _, _ = judged(IF, "strict")
    for words in (
        "type: volume; value: whisper",
        "mode: verbatim; text: The cat is asleep.",
        "code en,",
        "prosody",
    ):
        assert words in prompt
    prompt, _, _ = judged(SEMANTIC, "strict")
    assert "emotion: disappointed; intensity: 60.0; situation: the harvest failed" in prompt


@pytest.mark.parametrize("track", [t for t, _, _ in SETS])
def test_the_tree_is_that_of_the_sheet(track: str) -> None:
    """Internal-set sheet section 4: the exits of each step, in order."""
    tree = load_rubric(f"speech_style_{track}").tree
    exits = {s["id"]: [s["fail"]] if "fail" in s else list(s["levels"].values()) for s in tree["steps"]}
    content = {"content": [1], "style": [2, 3, "next"]}
    empathy = {"integrity": [1], "content": [2, 3, "next"], "style": [4, "next"]}
    wanted = {"language": [1], **(content if track == "speech_if" else empathy), "naturalness": [4, 5]}
    assert list(exits.items()) == list(wanted.items()) and tree["track"] == track
    assert tree["output"] == {"pattern": "[[n]]", "take": "last_numeric", "parser": "strict"}


# --- the command line -------------------------------------------------------------------------------


def predictions(bench: Bench, given: Mapping[str, Mapping[str, Any]]) -> Path:
    path = bench.tmp / "p.jsonl"
    (bench.tmp / "x.wav").write_bytes(tone_wav(0.4))
    rows = [{"id": k, **v} for k, v in given.items()]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def test_a_weighted_mean_of_recorded_scores(bench: Bench) -> None:
    path = predictions(
        bench,
        {
            "if-1": {"audio": "x.wav", "judge": "Final score: [[4]]"},
            "if-2": {"audio": "x.wav", "judge": "[[1]]"},
        },
    )
    out = bench.tmp / "a"
    done = bench.here("score", path, "--task", IF, "--data-dir", SMOKE, "--out", out, "--no-report")
    assert done.code == 0, done.said
    found = result(out, IF)
    assert found["value"] == pytest.approx((2 * 4 + 1) / 3) and found["pool"] == "weighted-mean"
    entry = json.loads((out / "results.json").read_text())["tasks"][IF]
    assert entry["groups"]["language"]["zh"]["score"]["value"] == 1.0
    assert "fewer than 20" not in done.err  # nobody expects that of smoke data


def test_a_missing_score_has_bounds_by_weight(bench: Bench) -> None:
    path = predictions(
        bench, {"if-1": {"audio": "x.wav", "judge": "[[4]]"}, "if-2": {"audio": "x.wav", "judge": "?"}}
    )
    out = bench.tmp / "a"
    args = ["score", path, "--task", IF, "--data-dir", SMOKE, "--out", out, "--no-report"]
    assert bench.here(*args, "--protocol", "vstyle").code == 1
    assert result(out, IF)["bounds"] == [2.5, 4.5] and result(out, IF)["value"] == 4.0
    assert bench.here(*args, "--protocol", "strict").code == 1, "more than 2 % of failures fail the run"
    strict = result(out, IF)
    assert strict["too_many"] == [SCORED_1] and strict["n_scored"] == 2
    assert (strict["touched"], strict["value"]) == ({SCORED_1: 1}, pytest.approx(3.0))


def test_all_three_tracks_of_one_manifest_with_a_live_judge(bench: Bench) -> None:
    """One file, three tasks; a model that writes instead of speaking gets a 1 for each silence."""
    ids = ("if-1", "if-2", "es-1", "es-2", "ep-1", "ep-2")
    path = predictions(
        bench, {k: {"text": "Well.", **({} if k == "es-2" else {"audio": "x.wav"})} for k in ids}
    )
    with mock_server(texts=["[[5]]"]) as mock:
        args = [
            "run",
            "--model",
            f"replay/{path}",
            "--suite",
            "speech-style",
            "--no-report",
            "--progress",
            "none",
        ]
        live = [
            "--lalm-judge",
            "openai/ear",
            "-L",
            f"base_url={mock.url}",
            "--data-dir",
            OWN / "manifest.jsonl",
        ]
        done = bench.here(*args, *live, "--out", bench.tmp / "a")
        assert done.code == 1 and "more than this score can bear" in done.err, done.said
        assert mock.requests() == 5
        assert mock.stats()["last"]["temperature"] == 0.0 and mock.stats()["last"]["seed"] == 0
    assert [result(bench.tmp / "a", t)["value"] for t in (IF, SEMANTIC, PARALINGUISTIC)] == [5.0, 3.0, 5.0]
    assert result(bench.tmp / "a", SEMANTIC)["touched"] == {SCORED_1: 1}
    assert "2 items of speech_if, fewer than 20" in done.err


def test_runs_per_item(bench: Bench) -> None:
    path = predictions(bench, {k: {"audio": "x.wav"} for k in ("if-1", "if-2")})
    with mock_server(texts=["[[5]]", "[[4]]"]) as mock:
        args = ["score", path, "--task", IF, "--data-dir", OWN, "--no-report", "--out", bench.tmp / "a"]
        done = bench.here(
            *args, "--lalm-judge", "openai/ear", "-L", f"base_url={mock.url}", "-O", "judge_runs=2"
        )
        assert done.code == 0 and result(bench.tmp / "a", IF)["value"] == 4.5, done.said
    [verdict, _] = lines(bench.tmp / "a" / IF / "scores.jsonl")
    assert verdict["detail"]["votes"] == [5.0, 4.0] and verdict["detail"]["sd"] == pytest.approx(
        0.7071, abs=1e-4
    )
    bad = bench.here(*args, "--lalm-judge", "openai/ear", "-O", "judge_runs=none")
    refused(bad, "judge_runs")


def test_a_broken_manifest_stops_before_anything_is_asked(
    bench: Bench, manifest: Callable[..., Path]
) -> None:
    path = predictions(bench, {"if-1": {"audio": "x.wav"}})
    broken = manifest(lambda rows: [rows[1].update(transcript=""), rows[4].pop("cue")])
    args = ["run", "--model", f"replay/{path}", "--task", IF, "--out", bench.tmp / "a", "--data-dir", broken]
    refused(bench.here(*args), "manifest.jsonl:2", "'transcript'", "1 more", "manifest check")
    assert not (bench.tmp / "a").exists()
    lone = manifest(lambda rows: [rows.pop(0), rows.pop(0)])
    refused(bench.here(*args[:-1], lone), "holds no items of the track speech_if")


def test_without_a_manifest(bench: Bench) -> None:
    path = predictions(bench, {"if-1": {"audio": "x.wav"}})
    done = bench.here("run", "--model", f"replay/{path}", "--task", IF, "--out", bench.tmp / "a")
    refused(done, "a set of your own", "--data-dir", "manifest.jsonl")
