"""MMAU-Pro from its published layout to the table: branching by category, the nearest option, both protocols."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import mmau_pro
from evalkit.audio import probe
from evalkit.errors import UsageError
from evalkit.interfaces import Answer, Judge
from evalkit.records import Response, Sample, Verdict
from evalkit.sources import DataOptions, Row, open_source
from judges import embedders
from judges.branch import Branch
from judges.embedders import EmbedderError, NvEmbed, SentenceTransformers, open_embedder
from judges.embedding_match import EmbeddingMatch, nearest, normalised
from tests.cli_fixtures import ROOT, Bench, Done, bench, judged, lines, refused, result
from tests.mock_fixtures import mock_server

__all__ = ["bench"]

SMOKE = ROOT / "benchmarks" / "smoke"
SINGLE, FULL = "mmau-pro/single-audio", "mmau-pro/full"
FIVE = "CORRECTNESS: 5 - yes\nRELEVANCE: 4 - yes\nCOMPLETENESS: 4 - all\nCLARITY: 3 - so so\nOVERALL: 4.0"


class Letters:
    """A stand-in embedder: how often each letter occurs. Notes its calls."""

    label = "letters@1"

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []

    def encode(self, texts: Sequence[str]) -> Any:
        self.calls.append(tuple(texts))
        counts = [Counter(text.lower()) for text in texts]
        return np.array([[c[chr(97 + k)] for k in range(26)] for c in counts], dtype=np.float32)


def closed(options: Any, target: Any) -> Sample:
    return Sample("a", FULL, (), target=target, meta={"kind": "closed", "options": options})


def match(options: Any, target: Any, text: str, embedder: Any = None) -> Verdict:
    judge = EmbeddingMatch(embedder or Letters())
    [verdict] = judge.score(closed(options, target), Answer(text, Response("a", text=text)))
    return verdict


# --- the nearest option --------------------------------------------------------------------------


def test_the_nearest_option_wins_whatever_was_said() -> None:
    options = ["abba", "cd", "xyz"]
    right = match(options, "cd", "dddc")
    assert (right.value, right.detail["matched"], right.detail["place"]) == (1.0, "cd", 1)
    assert match(options, "abba", "dddc").value == 0.0
    assert match(options, "abba", "(B)").detail["matched"] == "abba", "a letter is text"
    nothing = match(options, "abba", "")
    assert (nothing.value, nothing.touched) == (1.0, "empty_output"), "all alike: the first"
    assert match(options, "cd", "").touched == "empty_output"


def test_equal_options_are_the_first_and_compared_as_text() -> None:
    found = match(["ab", "ba", "c"], "ba", "ba")
    assert (found.detail["place"], found.value) == (0, 0.0)
    assert match(["ab", "ab", "c"], "ab", "ab").value == 1.0


def test_rows_that_the_public_scorer_leaves_out_or_can_never_score() -> None:
    for few in (None, [], ["only"]):
        left = match(few, "only", "only")
        assert (left.value, left.touched) == (None, "few_options")
        assert str(left.reason).startswith("few-options: ")
    never = match(["ab", "cd"], "AB", "ab")
    assert (never.value, never.touched) == (0.0, "unanswerable")
    assert match(["ab", "cd"], None, "").touched == "unanswerable"
    assert str(match(["ab", None], "ab", "ab").reason).startswith("bad-options: ")


def test_one_call_for_the_answer_and_one_for_the_options_which_are_kept() -> None:
    embedder = Letters()
    judge = EmbeddingMatch(embedder)
    for text in ("one", "two", "one"):
        judge.score(closed(["ab", "cd"], "ab"), Answer(text, Response("a", text=text)))
    assert embedder.calls == [("one",), ("ab", "cd"), ("two",), ("one",)]


def test_an_embedder_that_fails_or_gives_nan_leaves_samples_unscored() -> None:
    class Nan(Letters):
        def encode(self, texts: Sequence[str]) -> Any:
            return np.full((len(texts), 4), np.nan)

    class Down(Letters):
        def encode(self, texts: Sequence[str]) -> Any:
            raise EmbedderError("embedder-failed: out of luck; try again")

    assert str(match(["a", "b"], "a", "a", Nan()).reason).startswith("embedder-nonfinite: ")
    assert match(["a", "b"], "a", "a", Down()).reason == "embedder-failed: out of luck; try again"


VECTOR = st.lists(st.integers(-5, 5), min_size=3, max_size=3)


@given(VECTOR, st.lists(VECTOR, min_size=2, max_size=6))
def test_nearest_is_the_first_with_the_largest_cosine(one: list[int], many: list[list[int]]) -> None:
    rows = normalised(np.array([one, *many], dtype=np.float32))
    place, likeness = nearest(rows[0], rows[1:])
    cosines = [100 * float(np.dot(rows[0], r)) for r in rows[1:]]
    assert likeness == pytest.approx(max(cosines), abs=1e-4)
    assert all(c <= cosines[place] + 1e-4 for c in cosines)
    assert all(row != many[place] for row in many[:place]), "an equal option before it would have won"


# --- embedders -----------------------------------------------------------------------------------


def test_which_embedder_a_name_means(tmp_path: Path) -> None:
    assert isinstance(open_embedder(None), NvEmbed)
    assert isinstance(open_embedder("nvidia/NV-Embed-v2@abc"), NvEmbed)
    assert isinstance(open_embedder("sentence-transformers/all-MiniLM-L6-v2"), SentenceTransformers)
    local = tmp_path / "my model"
    local.mkdir()
    assert isinstance(open_embedder(str(local)), SentenceTransformers)
    (local / "config.json").write_text('{"model_type": "nvembed"}')
    assert isinstance(open_embedder(str(local)), NvEmbed)
    (local / "config.json").write_text("not json")
    assert isinstance(open_embedder(str(local)), SentenceTransformers)


def test_a_folder_is_signed_by_what_is_in_it(tmp_path: Path) -> None:
    def label() -> str:
        return open_embedder(str(tmp_path / "my model")).label

    (tmp_path / "my model").mkdir()
    (tmp_path / "my model" / "weights.bin").write_bytes(b"one")
    first = label()
    assert first.startswith("my-model@") and label() == first
    (tmp_path / "my model" / "weights.bin").write_bytes(b"two")
    assert label() != first


def test_a_hub_model_is_signed_by_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedders, "find_spec", lambda name: object())
    monkeypatch.setattr(embedders, "_commit", lambda repo, wanted: "0123456789abcdef" * 2 + "01234567")
    assert open_embedder("acme/embed").label == "acme/embed@0123456789ab"
    monkeypatch.setattr(embedders, "_commit", lambda repo, wanted: None)
    assert open_embedder("acme/embed@v2").label == "acme/embed@v2"


def test_a_load_that_fails_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    class Broken(SentenceTransformers):
        needs = ()

        def _load(self, place: str, revision: str | None) -> Any:
            tried.append(place)
            raise RuntimeError("no such weights\nand more")

    broken = Broken("acme/none@v1")
    for _ in range(2):
        with pytest.raises(EmbedderError, match=r"embedder-failed: acme/none@v1 .*no such weights\)"):
            broken.encode(["a"])
    assert tried == ["acme/none"]


def test_offline_no_hub_is_asked_for_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("torch", "transformers"):
        pytest.importorskip(module, reason='needs pip install "evalkit[embedder]"')
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    asked: list[Any] = []

    def unknown(*of: Any, **more: Any) -> None:
        asked.append(of)
        raise OSError("no name is known here")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(EmbedderError, match="embedder-failed: nvidia/NV-Embed-v2@abc can't be loaded"):
        open_embedder("nvidia/NV-Embed-v2@abc").encode(["a"])
    assert asked == []


# --- branching -----------------------------------------------------------------------------------


class Says(Judge):
    """Gives its value."""

    metrics = ("acc",)

    def __init__(self, value: float, *, asks: bool = False, heavy: bool = False) -> None:
        self.value, self.asks_model, self.heavy = value, asks, heavy

    @property
    def signature(self) -> str:
        return f"says-{self.value:g}"

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        return [Verdict("acc", self.value)]

    async def ask(self, sample: Sample, answer: Answer) -> list[Verdict]:
        await asyncio.sleep(0)
        return self.score(sample, answer)


def test_each_kind_has_its_judge() -> None:
    branch = Branch("kind", {"x": Says(1.0, asks=True), "y": Says(0.0, heavy=True), "z": Says(0.5)})
    assert branch.asks_model and not branch.heavy and branch.metrics == ("acc",)
    assert branch.signature == "x=says-1, y=says-0, z=says-0.5"
    answer = Answer("", Response("a"))

    async def ask(kind: str) -> list[float | None]:
        sample = Sample("a", "t/t", (), meta={"kind": kind})
        return [v.value for v in await branch.ask(sample, answer)]

    assert [asyncio.run(ask(k)) for k in "xyzq"] == [[1.0], [0.0], [0.5], []]
    rules = Branch("kind", {"y": Says(0.0, heavy=True)})
    assert rules.heavy and not rules.asks_model
    with pytest.raises(ValueError, match="same metric"):
        Branch("kind", {})


# --- rows ----------------------------------------------------------------------------------------


def row(given: bool = False, **values: Any) -> Row:
    full = {"id": "r1", "question": "Q?", "category": "music", "audio_path": ["data/a.wav"]}
    return Row(full | values, file="x/test.parquet", number=0, split="test", root="x", given=given)


def sample(**values: Any) -> Sample:
    return mmau_pro.to_sample(FULL, row(**values))


@pytest.mark.parametrize(
    ("category", "kind"),
    [
        ("sound", "closed"),
        ("multi", "closed"),
        ("spatial_audio", "closed"),
        ("voice_chat", "closed"),
        ("open", "open"),
        ("instruction following", "instruction-following"),
    ],
)
@pytest.mark.parametrize("choices", [["a", "b"], ["a"], None])
def test_the_category_decides_never_the_options(category: str, kind: str, choices: Any) -> None:
    found = sample(category=category, choices=choices, answer="a")
    assert found.meta["kind"] == kind
    asked = found.turns[0].text
    if kind == "closed" and choices:
        listed = "".join(f"\n({x}){c}" for x, c in zip("AB", choices, strict=False))
        assert asked == f"Q? Choose the correct option from the following options:{listed}"
    else:
        assert asked == "Q?"
    assert found.question == "Q?" and found.target == "a"


def test_recordings_come_in_order_before_the_words() -> None:
    found = sample(audio_path=["data/a.wav", "data/b.wav", "data/c.wav"])
    [turn] = found.turns
    assert [Path(a.path or "").name for a in found.audios] == ["a.wav", "b.wav", "c.wav"]
    assert turn.parts[-1] == "Q?" and len(turn.parts) == 4 and found.meta["audios"] == 3
    with pytest.raises(UsageError, match="leaves"):
        sample(audio_path=["../../etc/passwd"])


@pytest.mark.parametrize(
    ("paths", "kept"), [(["a"], True), (["a", "b"], False), ([], False), (None, False), ("a", True)]
)
def test_single_audio_is_exactly_one(paths: Any, kept: bool) -> None:
    assert mmau_pro.single_audio(row(audio_path=paths)) is kept


def test_a_row_that_came_with_its_answer_may_lack_the_sound() -> None:
    bare = Row({"category": "music"}, file="p.jsonl", number=0, split="test", root=".", given=True)
    assert mmau_pro.single_audio(bare)
    assert mmau_pro.to_sample(SINGLE, bare).turns[0].parts == ()
    lost = mmau_pro.to_sample(SINGLE, row(given=True, audio_path=["../../x.wav"]))
    assert lost.turns[0].parts == () and lost.meta["audios"] == 1


# --- smoke data ----------------------------------------------------------------------------------


def test_the_smoke_data_is_in_the_published_layout() -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason='needs pyarrow: pip install "evalkit[data]"')
    folder = SMOKE / mmau_pro.REPO
    rows = pq.read_table(folder / "test.parquet").to_pylist()
    assert set(rows[0]) == {
        *("id", "audio_path", "question", "answer", "choices", "length_type", "perceptual_skills"),
        *("reasoning_skills", "category", "transcription", "task_classification", "task_identifier"),
        *("kwargs", "sub-cat"),
    }
    for path in {p for r in rows for p in r["audio_path"]}:
        info = probe((folder / path).read_bytes())
        assert info.format == "wav" and 0.2 < info.seconds < 5
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) < 150_000


@pytest.mark.parametrize(("task", "n"), [(SINGLE, 5), (FULL, 6)])
def test_the_file_holds_the_rows_of_both_tasks(task: str, n: int) -> None:
    [data] = [t.data for t in mmau_pro.TASKS if t.name == task]
    source = open_source(data, DataOptions(data_dir=str(SMOKE)), task=task)
    assert len(list(source.rows())) == n and len(list(source.all_rows())) == 6
    assert data.at("somebody/copy").keep is data.keep


# --- from predictions to the table ---------------------------------------------------------------

ANSWERS: list[dict[str, Any]] = [
    {"id": "smoke-1", "text": "The second is higher"},
    {"id": "smoke-2", "text": "(B)In the car"},
    {"id": "smoke-3", "text": "A kettle"},
    {"id": "smoke-4", "text": "The train is late.", "judge": FIVE},
    {"id": "smoke-5", "text": "A parcel on the table."},
    {"id": "smoke-6", "text": "in the second"},
]


def score(
    bench: Bench, task: str, *more: object, answers: Sequence[Mapping[str, Any]] = ANSWERS, to: str = "a"
) -> Done:
    path = bench.tmp / "p.jsonl"
    path.write_text("".join(json.dumps(dict(a)) + "\n" for a in answers), encoding="utf-8")
    where = ["--data-dir", SMOKE] if "row" not in answers[0] else []
    return bench.here("score", path, "--task", task, "--out", bench.tmp / to, "--no-report", *where, *more)


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> Letters:
    made = Letters()
    monkeypatch.setattr(mmau_pro, "open_embedder", lambda name: made)
    return made


def scores(bench: Bench, task: str, metric: str = "acc") -> dict[str, Any]:
    return {
        x["sample_id"]: x for x in lines(bench.tmp / "a" / task / "scores.jsonl") if x["metric"] == metric
    }


def test_official_weighs_every_item_alike(bench: Bench, letters: Letters) -> None:
    done = score(bench, FULL)
    assert done.code == 0, done.said
    out = bench.tmp / "a"
    total = result(out, FULL)
    # closed 2 of 4, open 4.0 / 5, instruction 1 of 1
    assert (total["n"], total["n_scored"]) == (6, 6)
    assert total["value"] == pytest.approx(100 * (2 + 0.8 + 1) / 6)
    assert total["touched"] == {"unanswerable": 1}
    parts = {m: result(out, FULL, m) for m in ("closed", "open", "instruction_following", "letter_aware")}
    assert {m: (p["value"], p["n"], p["n_unscored"]) for m, p in parts.items()} == {
        "closed": (50.0, 4, 0),
        "open": (80.0, 1, 0),
        "instruction_following": (100.0, 1, 0),
        "letter_aware": (50.0, 4, 0),
    }
    entry = json.loads((out / "results.json").read_text())["tasks"][FULL]
    assert {g: m["acc"]["n"] for g, m in entry["groups"]["category"].items()} == {
        **{"music": 1, "speech": 1, "sound": 1, "multi": 1, "open": 1, "instruction following": 1}
    }
    assert set(entry["groups"]) == {"category", "length_type", "sub-cat", "kind"}
    assert (
        "closed=nearest-option:letters@1, open=recorded x1 mmau_pro_open:as-recorded " in total["judges"][0]
    )
    assert scores(bench, FULL)["smoke-2"]["detail"]["matched"] == "In the car"
    again = (out / "results.json").read_bytes()
    assert score(bench, FULL).code == 0 and (out / "results.json").read_bytes() == again


def test_the_report_scores_single_audio_out_of_the_same_files(bench: Bench, letters: Letters) -> None:
    """Predictions for the whole set do: those for other rows are left alone."""
    done = score(bench, SINGLE)
    assert done.code == 0, done.said
    total = result(bench.tmp / "a", SINGLE)
    assert total["n"] == 5 and total["value"] == pytest.approx(100 * (1 + 0.8 + 1) / 5)
    assert total["decimals"] == 1
    unknown = score(bench, SINGLE, answers=[*ANSWERS, {"id": "smoke-7", "text": "x"}], to="b")
    refused(unknown, "smoke-7")


def test_rows_that_come_with_the_answers_are_filtered_too(bench: Bench, letters: Letters) -> None:
    base = {"question": "Q?", "category": "music", "choices": ["ab", "cd"], "answer": "ab"}
    answers = [
        {"id": "1", "text": "ab", "row": {**base, "audio_path": ["data/1.wav"]}},
        {"id": "2", "text": "ab", "row": {**base, "audio_path": ["data/1.wav", "data/2.wav"]}},
        {"id": "3", "text": "cd", "row": base},
        {"id": "4", "text": "ab", "row": {**base, "category": "open"}, "judge": FIVE},
        {"id": "5", "text": "", "row": {**base, "category": "instruction following"}},
    ]
    done = score(bench, SINGLE, answers=answers)
    assert done.code == 0, done.said
    assert set(scores(bench, SINGLE)) == {"1", "3", "4", "5"}
    assert result(bench.tmp / "a", SINGLE)["value"] == pytest.approx(100 * (1 + 0 + 0.8 + 0) / 4)
    with mock_server(texts=[FIVE]) as mock:
        assert score(bench, SINGLE, *judged(mock.url), answers=answers, to="b").code == 0
        assert mock.requests() == 1
    assert result(bench.tmp / "b", SINGLE)["n"] == 4


def test_strict_reads_letters_and_asks_for_marks(bench: Bench) -> None:
    answers = [dict(a) for a in ANSWERS]
    answers[0]["text"] = "(B)"
    answers[3]["judge"] = "I'd say four out of five."
    answers[4]["text"] = " "
    done = score(bench, FULL, "--protocol", "strict", answers=answers)
    assert done.code == 1 and "belong to nothing" not in done.err, done.said  # parts are parts on purpose
    out = bench.tmp / "a"
    total = result(out, FULL)
    assert (total["n_scored"], total["value"]) == (5, 40.0) and total["touched"] == {}
    assert set(total["reasons"]) == {"judge-unparseable"}
    assert result(out, FULL, "closed")["value"] == 50.0
    assert result(out, FULL, "instruction_following")["value"] == 0.0
    assert result(out, FULL, "open")["n_unscored"] == 1
    assert "letter_aware" not in json.loads((out / "results.json").read_text())["tasks"][FULL]["metrics"]


def test_without_the_extra_closed_questions_say_what_to_install(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedders, "find_spec", lambda name: None)
    done = score(bench, FULL)
    assert done.code == 1, done.said
    found = result(bench.tmp / "a", FULL, "closed")
    assert (found["value"], found["n_unscored"]) == (None, 4)
    [(code, told)] = found["reasons"].items()
    assert code == "embedder-missing" and 'pip install "evalkit[embedder]"' in told["example"]
    assert result(bench.tmp / "a", FULL, "letter_aware")["value"] == 50.0
    assert result(bench.tmp / "a", FULL, "instruction_following")["value"] == 100.0
    total = result(bench.tmp / "a", FULL)
    assert total["withheld"] and total["value"] is None, "open and instructions alone are not MMAU-Pro"
    assert total["bounds"] == [pytest.approx(30.0), pytest.approx(580 / 6)]


def test_empty_answers_that_score_are_counted(bench: Bench, letters: Letters) -> None:
    answers = [{**a, "text": ""} for a in ANSWERS]
    answers[3] = ANSWERS[3] | {"judge": "no marks"}
    assert score(bench, FULL, answers=answers).code == 0
    total = result(bench.tmp / "a", FULL)
    assert total["touched"] == {"default_rating": 1, "empty_output": 4, "unanswerable": 1}
    # alike to every option: the first; 0.6 for marks nobody gave; no words are at most eight
    assert total["value"] == pytest.approx(100 * (1 + 0.6 + 1) / 6)
    missing = score(bench, FULL, answers=ANSWERS[:2], to="b")
    assert missing.code == 1 and result(bench.tmp / "b", FULL)["n_errors"] == 4


def test_rows_the_public_scorer_leaves_out_don_t_hold_the_total_back(bench: Bench, letters: Letters) -> None:
    base = {"question": "Q?", "category": "music", "audio_path": ["a.wav"], "answer": "ab"}
    answers = [
        {"id": "1", "text": "ab", "row": {**base, "choices": ["ab", "cd"]}},
        {"id": "2", "text": "ab", "row": {**base, "choices": ["ab"]}},
        {"id": "3", "text": "ab", "row": {**base, "choices": None}},
    ]
    score(bench, FULL, answers=answers)
    total = result(bench.tmp / "a", FULL)
    assert (total["value"], total["n_scored"], total["withheld"]) == (100.0, 1, False)
    assert total["touched"] == {"few_options": 2} and set(total["reasons"]) == {"few-options"}


def test_a_live_judge_is_asked_about_open_questions_only(bench: Bench, letters: Letters) -> None:
    """The pipeline: the embedder works in a thread beside the requests."""
    with mock_server(texts=[FIVE]) as mock:
        done = score(bench, FULL, *judged(mock.url))
        assert done.code == 0 and mock.requests() == 1, done.said
    total = result(bench.tmp / "a", FULL)
    assert total["value"] == pytest.approx(100 * (2 + 0.8 + 1) / 6)
    assert score(bench, FULL, *judged("http://127.0.0.1:9/v1")).code == 0, "all is on record"


def test_an_option_names_the_embedder(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    score(bench, FULL, "-O", f"embedder={tmp_path / 'mine'}")
    assert "closed=nearest-option:mine@" in result(bench.tmp / "a", FULL)["judges"][0]


def test_a_model_hears_both_recordings(bench: Bench, letters: Letters) -> None:
    """`run` over the same data: replay says the answers again, show prints what a model would get."""
    path = bench.tmp / "p.jsonl"
    path.write_text("".join(json.dumps(a) + "\n" for a in ANSWERS), encoding="utf-8")
    args = ("--task", FULL, "--data-dir", SMOKE, "--out", bench.tmp / "a", "--no-report")
    with mock_server(texts=[FIVE]) as mock:
        done = bench.here("run", "--model", f"replay/{path}", *args, *judged(mock.url))
    assert done.code == 0, done.said
    assert result(bench.tmp / "a", FULL)["value"] == pytest.approx(100 * (2 + 0.8 + 1) / 6)
    shown = bench.here("show", FULL, "--data-dir", SMOKE, "--limit", "6", "--json")
    last = json.loads(shown.out.splitlines()[-1])
    kinds = ["audio" if "audio" in p else "text" for p in last["turns"][0]["parts"]]
    assert kinds == ["audio", "audio", "text"] and last["meta"]["audios"] == 2
