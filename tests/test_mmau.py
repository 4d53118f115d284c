"""MMAU: the official string match, both shapes of the data, protocols end to end on the smoke data."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import mmau
from benchmarks._mmau_rows import GITHUB, HUB, check_edition
from evalkit.errors import UsageError
from evalkit.interfaces import Answer
from evalkit.records import Response, Sample, Turn
from evalkit.sources import DataOptions, Row, open_source
from judges.mmau_choice import mmau_judge
from judges.token_set import TokenSet, string_match, tokens
from tests.cli_fixtures import Bench, Done, bench, judged, lines, result
from tests.mock_fixtures import mock_server

__all__ = ["bench"]

TASK = "mmau/test-mini"
HERE = Path(__file__).parent
SMOKE = HERE.parent / "benchmarks" / "smoke"
SHARED = HERE.parent.parent / "shared" / "vectors" / "mcq.mmau_string_match.jsonl"

# --- the rule ---------------------------------------------------------------------------------------

OPTIONS = ["A door slams", "Glass breaks", "A dog barks", "Rain on a roof"]
STYLES = [
    # response, is it right by words, and is it when options and answer carry letters (sheet section 4.3)
    ("Glass breaks", True, False),
    ("glass BREAKS!", True, False),
    ("breaks, the glass", True, False),
    ("(B)Glass breaks", True, True),
    ("(B) Glass breaks", True, True),
    ("B. Glass breaks", True, True),
    ("B", False, False),
    ("(B)", False, False),
    ("B.", False, False),
    ("The correct answer is Glass breaks.", True, False),
    ("I can hear how a glass breaks.", False, False),
    ("A dog barks", False, False),
    ("Glass breaks, not a dog", False, False),
    ("Glass breaks, no dog", False, False),
    ("<think>barks?</think>Glass breaks", False, False),
    ("答案是Glass breaks", False, False),
    ("答案是 Glass breaks", True, False),
    ("Glass-breaks", True, False),
    ("Glass_breaks", False, False),
    ("", False, False),
    ("?!", False, False),
]


@pytest.mark.parametrize(("response", "plain", "lettered"), STYLES, ids=lambda v: str(v)[:24])
def test_styles(response: str, plain: bool, lettered: bool) -> None:
    assert string_match("Glass breaks", response, OPTIONS) is plain
    with_letters = [f"({'ABCD'[i]}) {o}" for i, o in enumerate(OPTIONS)]
    assert string_match(with_letters[1], response, with_letters) is lettered


def test_corners_of_the_rule() -> None:
    """The article is fatal where a wrong option has it; the same words in another order are the same option."""
    assert string_match("Glass breaks", "(A)Glass breaks", OPTIONS) is False
    assert string_match("A dog barks", "(A) dog barks", OPTIONS) is True
    assert string_match("man bites dog", "dog bites man", ["man bites dog", "dog bites man"]) is True
    assert string_match("It's 5", "it s 5", ["It's 5", "It's 6"]) is True
    assert string_match("...", "anything", ["...", "other"]) is True
    assert string_match("...", "other", ["...", "other"]) is False
    assert string_match("...", "!", ["...", "other"]) is False
    assert string_match("x", "X", ["x", "x", "y"]) is True


def naive_tokens(text: str) -> set[str]:
    """Without a regex: letters and digits of any script and "_" hold together."""
    out, word = set(), ""
    for char in text.lower() + " ":
        if char.isalnum() or char == "_":
            word += char
        elif word:
            out.add(word)
            word = ""
    return out


def naive_match(answer: str, prediction: str, choices: list[str]) -> bool:
    said, wanted = naive_tokens(prediction), naive_tokens(answer)
    forbidden = {w for c in choices for w in naive_tokens(c) if w not in wanted}
    return bool(said) and all(w in said for w in wanted) and not any(w in forbidden for w in said)


TEXT = st.one_of(st.text(max_size=20), st.text(st.sampled_from("abAB_-'1 é中文٣İßＡ.,"), max_size=20))


@settings(deadline=None)
@given(TEXT, TEXT, st.lists(TEXT, max_size=5))
def test_against_a_naive_implementation(answer: str, prediction: str, choices: list[str]) -> None:
    assert tokens(prediction) == naive_tokens(prediction)
    for options in (choices, [*choices, answer]):
        for said in (prediction, answer, f"(A) {answer}", f"{answer} {prediction}"):
            assert string_match(answer, said, options) == naive_match(answer, said, options)


@pytest.mark.skipif(not SHARED.is_file(), reason="the vectors that quote the data set are not here")
def test_vectors() -> None:
    cases = lines(SHARED)
    assert len(cases) > 500
    for case in cases:
        found = string_match(case["answer"], case["response"], case["choices"])
        assert found is case["match"], case


def test_the_judge_never_guesses() -> None:
    def verdict(target: Any, meta: dict[str, Any], text: str = "Glass breaks") -> float | None:
        sample = Sample("s", TASK, (Turn("user", ("?",)),), target=target, meta=meta)
        [found] = TokenSet().score(sample, Answer(text, Response("s", text=text)))
        assert (found.reason is None) == (found.value is not None)
        return found.value

    assert verdict("Glass breaks", {"options": OPTIONS}) == 1.0
    lettered = {"options": ["(A) Glass breaks", "(B) x"], "answer": "(A) Glass breaks"}
    assert verdict("Glass breaks", {"options": ["Glass breaks", "x"], "prefixed": lettered}) == 0.0
    assert verdict(None, {"options": OPTIONS}) is None
    assert verdict("x", {}) is None


# --- rows ---------------------------------------------------------------------------------------------


def samples(data: Path, repo: str | None = None) -> dict[str, Sample]:
    task = mmau.TASKS[0]
    source = open_source(task.data.at(repo or GITHUB), DataOptions(data_dir=str(data)), task=TASK)
    return {s.id: s for s in (task.to_sample(TASK, row) for row in source.rows())}


def test_the_json_shape() -> None:
    found = samples(SMOKE)
    assert list(found) == ["smoke-knocks", "smoke-scale", "smoke-market", "smoke-bus"]
    knocks = found["smoke-knocks"]
    assert knocks.meta["category"] == "Reasoning" and knocks.target == "Somebody knocks on a door"
    assert knocks.turns[0].parts[1] == (
        "What is most likely happening in the recording? Choose the correct option from the following options:\n"
        "(A)A kettle boils\n(B)Somebody knocks on a door\n(C)A car drives by\n(D)Rain falls"
    )
    assert len(knocks.audios) == 1 and knocks.audios[0].read()[:4] == b"RIFF"
    assert found["smoke-market"].turns[0].text.endswith("options:\n(A)One\n(B)Two")
    assert "(E)The food is cold" in found["smoke-bus"].turns[0].text
    assert {s.meta["scored"] for s in found.values()} == {"options as in the JSON"}


def test_the_hub_shape_with_the_json_at_hand() -> None:
    """Question and options are the JSON's, the sound the hub's."""
    plain, hub = samples(SMOKE), samples(SMOKE, HUB)
    assert list(hub) == list(plain)[:3]
    for key, sample in hub.items():
        assert (sample.target, sample.turns[0].text) == (plain[key].target, plain[key].turns[0].text)
        assert "prefixed" not in sample.meta and sample.meta["scored"].startswith("options from the JSON")
        assert sample.audios[0].data
    assert hub["smoke-market"].audios[0].read()[:4] != b"RIFF", "sounds come in several containers"


def test_the_hub_shape_alone(tmp_path: Path) -> None:
    """The model is asked with plain options; the string match sees them as the data has them."""
    shutil.copytree(SMOKE / HUB, tmp_path / HUB)
    plain, hub = samples(SMOKE), samples(tmp_path, HUB)
    for key, sample in hub.items():
        assert sample.turns[0].text == plain[key].turns[0].text
        assert (sample.target, sample.meta["options"]) == (plain[key].target, plain[key].meta["options"])
        lettered = sample.meta["prefixed"]
        assert lettered["answer"] in lettered["options"] and lettered["options"][0].startswith("(A) ")
        assert sample.meta["scored"] == "options with letters"
        assert {k: sample.meta[k] for k in ("task", "difficulty")} == {
            k: plain[key].meta[k] for k in ("task", "difficulty")
        }


def test_another_edition_of_the_json_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(SMOKE / GITHUB, tmp_path / GITHUB)
    shutil.copytree(SMOKE / HUB, tmp_path / HUB)
    task = mmau.TASKS[0]

    def notes(repo: str, smoke: bool = False) -> list[str]:
        options = DataOptions(data_dir=str(tmp_path), smoke=smoke)
        return check_edition(open_source(task.data.at(repo), options, task=TASK))

    for repo in (GITHUB, HUB):
        [note] = notes(repo)
        assert "1 sound, 1 music, 2 speech" in note and "333 sound, 334 music, 333 speech" in note
        assert notes(repo, smoke=True) == []
    digest = hashlib.sha256((SMOKE / GITHUB / "mmau-test-mini.json").read_bytes()).hexdigest()
    monkeypatch.setattr("benchmarks._mmau_rows.PIN", digest)
    assert notes(GITHUB) == notes(HUB) == []
    shutil.rmtree(tmp_path / GITHUB)
    [note] = notes(HUB)
    assert "isn't at hand" in note and notes(HUB, smoke=True) == []


def test_prompts() -> None:
    task = mmau.TASKS[0]
    assert task.prompt == "report" and task.prompts["report"] is task.to_sample
    source = open_source(task.data, DataOptions(data_dir=str(SMOKE)), task=TASK)
    row = next(iter(source.rows()))
    kimi = task.asking("kimi").to_sample(TASK, row)
    assert isinstance(kimi.turns[0].parts[0], str), "Kimi puts the text first"
    assert kimi.turns[0].parts[0] == kimi.meta["judge_question"]
    assert "\nA. A kettle boils\nB. " in task.asking("lmms-eval").to_sample(TASK, row).turns[0].text


def row(given: bool = False, **values: Any) -> Row:
    return Row(values, file="x.json", number=0, split="test", root=".", given=given)


def test_broken_rows_say_so() -> None:
    full = {"id": "a", "question": "?", "choices": ["x", "y"], "answer": "x", "audio_id": "a.wav"}
    for lacks in ("choices", "answer"):
        with pytest.raises(UsageError, match=f"no column '{lacks}'"):
            mmau.to_sample(TASK, row(**{k: v for k, v in full.items() if k != lacks}))
    for choices in (None, 3, "x, y", ["x", None]):
        with pytest.raises(UsageError, match="choices must be a list"):
            mmau.to_sample(TASK, row(**full | {"choices": choices}))
    with pytest.raises(UsageError, match="other_attributes is not JSON"):
        mmau.to_sample(TASK, row(**full, other_attributes="{"))
    assert mmau.to_sample(TASK, row(**full | {"choices": '["x", "y"]'})).meta["options"] == ["x", "y"]
    alone = mmau.to_sample(TASK, row(given=True, choices=["x", "y"], answer="x"))
    assert alone.turns[0].parts == () and alone.target == "x" and alone.id


# --- the judge that is a model ------------------------------------------------------------------------


def test_what_the_judge_is_sent() -> None:
    """MMAU sheet section 4.4: settings, stripped question with options, stripped text of the right option."""
    sample = samples(SMOKE)["smoke-market"]
    judge = mmau_judge(None)
    request = judge.request(sample, Answer(" (B) ", Response("x")))
    assert (request.temperature, request.top_p, request.max_tokens, request.n) == (0.0, 0.95, 1024, 1)
    assert [role for role, _ in request.messages] == ["system", "user"]
    text = request.messages[-1][1]
    assert isinstance(text, str)
    assert "\nHow many kinds of fruit does the speaker name?\n(A) One (B) Two\n" in text
    assert "\nTwo\n" in text and "\n (B) \n" in text


# --- end to end -----------------------------------------------------------------------------------------

ANSWERS = {
    "smoke-knocks": "(B)Somebody knocks on a door",  # right by letters and words
    "smoke-scale": "C",  # right by letter only
    "smoke-market": "The speaker names one kind of fruit",  # wrong
    "smoke-bus": "The bus leaves",  # right
}


def write(bench: Bench, answers: dict[str, str], **judge: str) -> Path:
    path = bench.tmp / "p.jsonl"
    rows = [
        {"id": k, "text": t} | ({"judge": {"acc": judge[k]}} if k in judge else {})
        for k, t in answers.items()
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def replay(bench: Bench, protocol: str, *more: object, answers: dict[str, str] = ANSWERS) -> Done:
    model = f"replay/{write(bench, answers)}"
    args = ["run", "--model", model, "--task", TASK, "--protocol", protocol, "--no-report"]
    return bench.here(*args, "--out", bench.tmp / "a", *(more or ("--data-dir", SMOKE)))


def groups(bench: Bench, key: str) -> dict[str, Any]:
    entry = json.loads((bench.tmp / "a/results.json").read_text(encoding="utf-8"))["tasks"][TASK]
    found: dict[str, Any] = entry["groups"][key]
    return found


def test_official_on_the_smoke_data(bench: Bench) -> None:
    done = replay(bench, "official")
    assert done.code == 0, done.said
    out = bench.tmp / "a"
    assert result(out, TASK)["value"] == 50.0 and result(out, TASK)["n"] == 4
    assert result(out, TASK, "letter_aware")["value"] == 75.0
    # sound 1, music 0, speech 1/2
    assert result(out, TASK, "acc_macro")["value"] == pytest.approx(50.0)
    assert set(groups(bench, "task")) == {"sound", "music", "speech"}
    assert set(groups(bench, "category")) == {"Reasoning", "Information Extraction"}
    assert set(groups(bench, "difficulty")) == {"easy", "medium", "hard"}
    assert set(groups(bench, "scored")) == {"options as in the JSON"}


def test_strict_on_the_smoke_data(bench: Bench) -> None:
    done = replay(bench, "strict")
    assert done.code == 0, done.said
    assert result(bench.tmp / "a", TASK)["value"] == 75.0
    assert result(bench.tmp / "a", TASK, "acc_macro")["value"] == pytest.approx(100 * (1 + 1 + 0.5) / 3)


def test_a_missing_answer_shows_in_both_figures(bench: Bench) -> None:
    """The public script leaves it out (the value); as wrong it is the lower bound."""
    answers = {k: t for k, t in ANSWERS.items() if k != "smoke-market"}
    done = replay(bench, "official", answers=answers)
    assert done.code == 1, done.said
    found = result(bench.tmp / "a", TASK)
    assert (found["n"], found["n_scored"], found["n_errors"]) == (4, 3, 1)
    assert found["value"] == pytest.approx(200 / 3) and found["bounds"] == [50.0, 75.0]


def test_the_hub_shape_is_told_apart(bench: Bench) -> None:
    shutil.copytree(SMOKE / HUB, bench.data / HUB)
    answers = {k: ANSWERS[k] for k in ("smoke-knocks", "smoke-scale")} | {"smoke-market": "Two"}
    more = ("--data-dir", bench.data, "--data-repo", HUB)
    done = replay(bench, "official", *more, answers=answers)
    assert done.code == 0, done.said
    alone = result(bench.tmp / "a", TASK)["value"]
    assert set(groups(bench, "scored")) == {"options with letters"}
    shutil.rmtree(bench.tmp / "a")
    shutil.copytree(SMOKE / GITHUB, bench.data / GITHUB)
    assert replay(bench, "official", *more, answers=answers).code == 0
    joined = result(bench.tmp / "a", TASK)["value"]
    assert set(groups(bench, "scored")) == {"options from the JSON, sound from the hub"}
    assert (alone, joined) == (pytest.approx(100 / 3), pytest.approx(200 / 3))


def test_recorded_judge_replies(bench: Bench) -> None:
    """Kimi's reading: the last line holds yes, else no, else the item is invalid."""
    replies = {
        "smoke-knocks": "It picks B.\nYes",
        "smoke-scale": "It picks C.\nyes.",
        "smoke-market": "Unknown\nno",
        "smoke-bus": "hard to say",
    }
    path = write(bench, ANSWERS, **replies)
    args = ["score", path, "--task", TASK, "--data-dir", SMOKE, "--no-report", "--out", bench.tmp / "a"]
    done = bench.here(*args)
    assert done.code == 1, done.said
    found = result(bench.tmp / "a", TASK)
    assert (found["n"], found["n_scored"], set(found["reasons"])) == (4, 3, {"judge-unparseable"})
    assert found["value"] == pytest.approx(200 / 3) and found["bounds"] == [50.0, 75.0]
    assert result(bench.tmp / "a", TASK, "string_match")["value"] == 50.0
    assert result(bench.tmp / "a", TASK, "letter_aware")["value"] == 75.0
    assert result(bench.tmp / "a", TASK, "acc_macro")["value"] == pytest.approx(100 * 2 / 3)


def test_a_live_judge(bench: Bench) -> None:
    rules = [{"match": "fruit", "set": {"texts": ["It picks One.\nno"]}}]
    with mock_server(texts=["It picks it.\nyes"], rules=rules) as mock:
        done = replay(bench, "kimi-evalkit", "--data-dir", SMOKE, *judged(mock.url))
        assert done.code == 0, done.said
        assert mock.requests() == 4
    assert result(bench.tmp / "a", TASK)["value"] == 75.0


def test_answer_files_of_the_public_scorer(bench: Bench) -> None:
    """MMAU's own answer JSON, row by row with `model_output`."""
    rows = json.loads((SMOKE / GITHUB / "mmau-test-mini.json").read_text(encoding="utf-8"))
    path = bench.tmp / "answers.json"
    path.write_text(json.dumps([r | {"model_output": ANSWERS[r["id"]]} for r in rows]), encoding="utf-8")
    done = bench.here("score", path, "--protocol", "official", "--no-report", "--out", bench.tmp / "a")
    assert done.code == 0 and "isn't at hand" not in done.err, done.said
    assert result(bench.tmp / "a", TASK)["value"] == 50.0
