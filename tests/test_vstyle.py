"""VStyle: the overall of Table 5, failures, what the judge is played, and who it was."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.vstyle import ROWS
from evalkit.chat import ChatReply, ChatRequest
from evalkit.errors import RunnerError, UsageError
from evalkit.interfaces import Answer
from evalkit.pools import stratified
from evalkit.published import published
from evalkit.records import Audio, Response, Sample, Turn, Verdict
from evalkit.registry import catalogue
from evalkit.sources import Row
from evalkit.stats import round_half_up
from judges.contracts import OUT_OF_RANGE
from judges.lalm import DROPPED, SCORED_1, LALMJudge, Unreadable, loaded
from judges.lalm_presets import NAMED_AUDIO, runs_of, user_audio_of, vstyle_judge
from judges.manner import Manner
from tests.mock_openai import tone_wav

EN = "vstyle/en"


# --- the overall ------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "zh"])
def test_printed_overalls_follow_from_printed_rows(language: str) -> None:
    """VStyle sheet section 9: all columns of Table 5 within 0.0053, most of them exactly."""
    total = published("5", "Overall").row("Overall", language)
    assert total is not None
    task = catalogue().tasks[f"vstyle/{language}"]
    [metric] = task.variants["official"].metrics
    assert metric.strata is not None and metric.strata.weights is not None
    assert sum(metric.strata.weights.values()) == pytest.approx(1.0)
    pool = stratified(metric.strata.weights)
    exact = 0
    for model, printed in total.values.items():
        sums = []
        for section, row, _ in ROWS.values():
            cell = published("5", section).row(row, language)
            assert cell is not None
            sums += [cell.value(model), 1.0]
        value = float(pool.formula(np.asarray(sums)))
        assert abs(value - float(printed)) <= 0.0053, model
        exact += round_half_up(value, 2) == float(printed)
    assert len(total.values) == 7 and exact >= 5


def test_weights_inside_a_category() -> None:
    weight = {ability: w for ability, (_, _, w) in ROWS.items()}
    for category in ("acoustic_attributes", "instruction", "role_play", "empathy"):
        assert sum(w for a, w in weight.items() if a.startswith(category)) == pytest.approx(0.25)
    assert weight["acoustic_attributes/composite_properties"] == 0.125


# --- rows -------------------------------------------------------------------------------------------


def as_row(given: bool = False, **values: Any) -> Row:
    return Row(values, file="x.jsonl", number=3, split="en", root=".", given=given)


def test_the_public_scorers_record_is_read() -> None:
    row = as_row(
        given=True,
        id=2951,
        instruct_id=296,
        ability="instruction/style",
        instruct_text="Say it like a newsreader.",
        model_name="m",
        response_audio_path="wav/x.mp3",
        instruction_audio_path="q/296.wav",
    )
    sample = catalogue().tasks[EN].to_sample(EN, row)
    assert (sample.id, sample.question) == ("2951", "Say it like a newsreader.")
    assert sample.meta["category"] == "instruction" and sample.meta[NAMED_AUDIO] is True
    assert sample.audios[0].path is not None and sample.audios[0].path.endswith("q/296.wav")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"instruct_text": "x", "audio": "a.wav"}, "no column 'ability'"),
        ({"ability": "anger", "instruct_text": "x", "audio": "a.wav"}, "category/sub-category, not 'anger'"),
        ({"ability": None, "instruct_text": "x", "audio": "a.wav"}, "category/sub-category, not None"),
        ({"ability": "empathy/anger", "audio": "a.wav"}, "no column 'instruct_text'"),
        (
            {"ability": "empathy/anger", "instruct_text": "x", "sound": "a.wav"},
            "found: ability, instruct_text, sound",
        ),
    ],
)
def test_rows_that_lack_something_say_what_was_found(values: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        catalogue().tasks[EN].to_sample(EN, as_row(**values))


# --- the judge by itself ----------------------------------------------------------------------------


@dataclass
class Hearing:
    """A model that hears: gives its replies in turn and keeps what it was asked."""

    replies: list[str]
    label: str = "gemini-x"
    meaningful: bool = True
    asked: list[ChatRequest] = field(default_factory=list)

    async def chat(self, request: ChatRequest) -> ChatReply:
        self.asked.append(request)
        texts = [self.replies[(len(self.asked) - 1 + k) % len(self.replies)] for k in range(request.n)]
        return ChatReply(tuple(texts), model="gemini-x-001")


def sample(ability: str = "empathy/anger", **meta: Any) -> Sample:
    asked = Audio(data=tone_wav(0.1, hz=300))
    told = {"question": "They broke my bike!", "ability": ability, **meta}
    return Sample("s1", EN, (Turn("user", (asked,)),), meta=told)


SPOKEN = Response("s1", "", audio=Audio(data=tone_wav(0.2, hz=500)))


def ask(judge: LALMJudge, of: Sample | None = None, response: Response = SPOKEN, **answer: Any) -> Verdict:
    """One attempt and, where it fails, what the engine makes of the last one."""
    try:
        [verdict] = asyncio.run(judge.ask(of or sample(), Answer("", response, **answer)))
    except RunnerError as error:
        [verdict] = judge.gave_up(error)
    return verdict


def digests(request: ChatRequest) -> list[str]:
    [(role, content)] = request.messages
    assert role == "user" and not isinstance(content, str)
    assert [isinstance(p, str) for p in content] == [True] + [False] * (len(content) - 1)
    return [p.digest() for p in content if isinstance(p, Audio)]


def test_the_judge_hears_the_reply_alone_unless_the_row_names_more() -> None:
    model = Hearing(["Final score: [[4]]"])
    verdict = ask(vstyle_judge("en", model))
    assert (verdict.value, verdict.touched, verdict.detail["model"]) == (4.0, None, "gemini-x-001")
    reply = hashlib.sha256(tone_wav(0.2, hz=500)).hexdigest()
    user = hashlib.sha256(tone_wav(0.1, hz=300)).hexdigest()
    assert digests(model.asked[0]) == [reply] == [h["sha256"] for h in verdict.detail["heard"]]
    ask(vstyle_judge("en", model), sample(**{NAMED_AUDIO: True}))
    ask(vstyle_judge("en", model, user_audio=True))
    ask(vstyle_judge("en", model, user_audio=False), sample(**{NAMED_AUDIO: True}))
    assert [digests(r) for r in model.asked[1:]] == [[user, reply], [user, reply], [reply]]
    texts = [str(r.messages[0][1][0]) for r in model.asked]
    assert "One recording follows" in texts[0] and "Two recordings follow" in texts[1]
    assert all("They broke my bike!" in t and "empathy/anger" in t for t in texts)


def test_a_missing_user_turn_is_no_obstacle_unless_it_was_asked_for(tmp_path: Path) -> None:
    gone = replace(
        sample(**{NAMED_AUDIO: True}), turns=(Turn("user", (Audio(path=str(tmp_path / "x.wav")),)),)
    )
    model = Hearing(["[[5]]"])
    assert ask(vstyle_judge("en", model), gone).value == 5.0 and len(digests(model.asked[0])) == 1
    verdict = ask(vstyle_judge("en", model, user_audio=True, on_failure="score_1"), gone)
    assert verdict.value is None and (verdict.reason or "").startswith("no-user-audio")
    nothing = replace(gone, turns=(Turn("user", ()),))
    assert ask(vstyle_judge("en", model), nothing).value == 5.0


def test_audio_is_fetched_again_from_where_it_came(tmp_path: Path) -> None:
    wav = tone_wav(0.1)
    file = tmp_path / "q.wav"
    file.write_bytes(wav)
    digest = hashlib.sha256(wav).hexdigest()
    for dropped in (Audio(path=str(file), sha256=digest), Audio(data=b"", origin=str(file), sha256=digest)):
        found = loaded(dropped)
        assert found is not None and found.data == wav
    file.write_bytes(tone_wav(0.3))
    assert loaded(Audio(path=str(file), sha256=digest)) is None  # another file by now
    assert loaded(Audio(data=b"")) is None


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("category", ["acoustic_attributes", "instruction", "role_play", "empathy"])
def test_each_category_has_its_rubric(language: str, category: str) -> None:
    model = Hearing(["[[3]]"])
    verdict = ask(vstyle_judge(language, model), sample(f"{category}/x"))
    assert verdict.detail["rubric"].startswith(f"vstyle_{category}_{language}:own@")


def test_an_unknown_category_is_not_asked_about() -> None:
    model = Hearing(["[[3]]"])
    verdict = ask(vstyle_judge("en", model), sample("singing/opera"))
    assert (verdict.value, verdict.touched, model.asked) == (None, DROPPED, [])
    assert (verdict.reason or "").startswith("unknown-category")


def test_failures_drop_or_score_1() -> None:
    silent = Response("s1", "words only")
    drop = vstyle_judge("en", Hearing(["hm"]))
    one = vstyle_judge("en", Hearing(["hm"]), parser="strict", on_failure="score_1")
    for response, code in ((silent, "no-speech"), (SPOKEN, "judge-unparseable")):
        dropped, lowest = ask(drop, response=response), ask(one, response=response)
        assert (dropped.value, dropped.touched) == (None, DROPPED)
        assert (lowest.value, lowest.touched, lowest.reason) == (1.0, SCORED_1, None)
        assert (dropped.reason or "").startswith(code) and lowest.detail["failure"].startswith(code)
    assert ask(one).detail["replies"] == ["hm"] and ask(one).detail["attempts"] == 1
    lost = RunnerError("timeout", "no answer", retryable=True)
    assert [(v.value, v.touched) for v in drop.gave_up(lost)] == [(None, DROPPED)]
    assert [(v.value, v.touched) for v in one.gave_up(lost)] == [(None, None)]  # says nothing of the answer


def test_an_unreadable_reply_is_an_attempt_that_may_be_made_again() -> None:
    with pytest.raises(Unreadable) as caught:
        asyncio.run(vstyle_judge("en", Hearing(["no score"])).ask(sample(), Answer("", SPOKEN)))
    assert caught.value.retryable and not caught.value.fatal


@pytest.mark.parametrize(
    ("kind", "official", "strict"),
    [
        ("content-filter", True, True),
        ("http-400", True, False),
        ("audio-too-long", False, False),
        ("no-schema", False, False),
        ("budget", False, False),
    ],
)
def test_which_errors_are_an_attempt_that_may_be_made_again(kind: str, official: bool, strict: bool) -> None:
    """VStyle sheet section 5: the public scorer asks again after any exception."""

    class Withheld(Hearing):
        async def chat(self, request: ChatRequest) -> ChatReply:
            raise RunnerError(kind, "no")

    for parser, again in (("official", official), ("strict", strict)):
        judge = vstyle_judge("en", Withheld([]), parser=parser)  # type: ignore[arg-type]
        with pytest.raises(RunnerError) as caught:
            asyncio.run(judge.ask(sample(), Answer("", SPOKEN)))
        assert caught.value.retryable is again, parser


def test_what_ends_the_run_is_not_tried_again() -> None:
    class Locked(Hearing):
        async def chat(self, request: ChatRequest) -> ChatReply:
            raise RunnerError("http-401", "no key", fatal=True)

    with pytest.raises(RunnerError) as caught:
        asyncio.run(vstyle_judge("en", Locked([])).ask(sample(), Answer("", SPOKEN)))
    assert caught.value.fatal and not caught.value.retryable


def test_odd_numbers_are_accepted_once_and_named() -> None:
    model = Hearing(["[[7]]"])
    verdict = ask(vstyle_judge("en", model))
    assert (verdict.value, verdict.touched, len(model.asked)) == (7.0, OUT_OF_RANGE, 1)
    assert ask(vstyle_judge("en", Hearing(["[[nan]]"]))).touched == "nan_score"
    assert ask(vstyle_judge("en", model, parser="strict", on_failure="score_1")).touched == SCORED_1


def test_recorded_replies_need_no_speech_and_no_model() -> None:
    judge = vstyle_judge("en", None, manner=Manner(recorded=True))
    assert ask(judge, response=Response("s1"), recorded=("[[2]]",)).value == 2.0
    assert ask(judge, response=Response("s1"), recorded=("hm", "[[3]]")).value == 3.0
    assert ask(judge, response=Response("s1"), recorded=("hm",)).touched == DROPPED
    assert (ask(judge).reason or "").startswith("judge-unbound")
    assert (ask(vstyle_judge("en", None), response=Response("s1")).reason or "").startswith("judge-unbound")


def test_runs_are_averaged() -> None:
    verdict = ask(vstyle_judge("en", Hearing(["[[3]]", "[[4]]"]), runs=2))
    assert (verdict.value, verdict.detail["votes"]) == (3.5, [3.0, 4.0])


def test_what_decides_verdicts_is_signed() -> None:
    model = Hearing([])
    signed = {
        vstyle_judge("en", model).signature,
        vstyle_judge("zh", model).signature,
        vstyle_judge("en", model, parser="strict").signature,
        vstyle_judge("en", model, on_failure="score_1").signature,
        vstyle_judge("en", model, user_audio=True).signature,
        vstyle_judge("en", model, runs=2).signature,
        vstyle_judge("en", None, manner=Manner(recorded=True)).signature,
    }
    assert len(signed) == 7
    assert vstyle_judge("en", model).signature.startswith("gemini-x x1 vstyle*4:own@")


def test_the_public_settings() -> None:
    model = Hearing(["[[3]]"])
    ask(vstyle_judge("en", model))
    ask(vstyle_judge("en", model, parser="strict"))
    official, strict = model.asked
    assert (official.temperature, official.seed, official.max_tokens) == (None, None, None)
    assert (strict.temperature, strict.seed) == (0.0, 0)


def test_options_are_checked() -> None:
    assert runs_of({"judge_runs": "3"}) == 3 and runs_of({}) == 1
    assert (user_audio_of({}), user_audio_of({"judge_user_audio": "no"})) == (None, False)
    for bad in ({"judge_runs": "0"}, {"judge_runs": "x"}, {"judge_runs": "٣"}):
        with pytest.raises(UsageError, match="judge_runs"):
            runs_of(bad)
    with pytest.raises(UsageError, match="yes or no"):
        user_audio_of({"judge_user_audio": "perhaps"})
