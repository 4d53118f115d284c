"""What decides verdicts is in a judge's signature: no two judges that may differ share one; none claims too much."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import pytest

from evalkit.cache import Cache
from evalkit.chat import Abilities, ChatReply, ChatRequest, abilities_of, named
from evalkit.engine.changes import _WORDING
from evalkit.engine.judgecache import CachedChat
from evalkit.engine.metering import MeteredChat
from evalkit.interfaces import Answer
from evalkit.records import Response, Sample, Turn
from evalkit.runners import gemini, openai
from judges import custom, lalm_presets, llm_presets, mmau_choice, mmau_pro_open, openaudiobench
from judges.asking import ModelJudge
from judges.lalm import LALMJudge
from judges.llm import LLMJudge
from judges.manner import Manner
from reports.trust import own_rubrics, users_rubrics
from tests.cli_fixtures import Bench, bench, result

__all__ = ["bench"]


@dataclass
class Model:
    label: str = "m"
    meaningful: bool = True
    hears: bool = True
    can: Abilities = field(default_factory=Abilities)
    bent: dict[str, Any] = field(default_factory=dict)
    asked: list[ChatRequest] = field(default_factory=list)

    async def chat(self, request: ChatRequest) -> ChatReply:
        self.asked.append(request)
        return ChatReply(("4",) * request.n)

    async def abilities(self) -> Abilities:
        return self.can


Make = Callable[..., ModelJudge]
MAKERS: dict[str, Make] = {
    "open official": lambda m, **k: llm_presets.open_judge("official", m, **k),
    "open kimi": lambda m, **k: llm_presets.open_judge("kimi", m, **k),
    "open of speech": lambda m, **k: llm_presets.open_judge("kimi", m, reads="speech", **k),
    "qa official": lambda m, **k: llm_presets.qa_judge("official", m, **k),
    "qa kimi": lambda m, **k: llm_presets.qa_judge("kimi", m, **k),
    "mcq": lambda m, **k: llm_presets.mcq_judge(m, **k),
    "chatbot": lambda m, **k: llm_presets.chatbot_judge(m, **k),
    "mmau": lambda m, **k: mmau_choice.mmau_judge(m, **k),
    "mmau-pro": lambda m, **k: mmau_pro_open.mmau_pro_open_judge(m, **k),
    "mmau-pro strict": lambda m, **k: mmau_pro_open.mmau_pro_open_judge(m, official=False, **k),
    **{
        f"oab {s} {p}": lambda m, s=s, p=p, **k: openaudiobench.oab_judge(s, m, p, **k)
        for s in openaudiobench.SUBSETS
        for p in ("report", "kimi")
        if s != "web_questions"  # by every rule like trivia_qa
    },
    "oab threshold": lambda m, **k: openaudiobench.oab_judge("reasoning_qa", m, threshold=3, **k),
    "custom 1-5": lambda m, **k: custom.custom_judge("Rate {answer}", (1, 5), m, **k),
    "custom 1-6": lambda m, **k: custom.custom_judge("Rate {answer}", (1, 6), m, **k),
    "custom other": lambda m, **k: custom.custom_judge("Grade {answer}", (1, 5), m, **k),
    "custom built-in": lambda m, **k: custom.custom_judge("rating", (1, 5), m, **k),
    "vstyle en": lambda m, **k: lalm_presets.vstyle_judge("en", m, **k),
    "vstyle zh": lambda m, **k: lalm_presets.vstyle_judge("zh", m, **k),
    "vstyle strict": lambda m, **k: lalm_presets.vstyle_judge("en", m, parser="strict", **k),
    "vstyle score_1": lambda m, **k: lalm_presets.vstyle_judge("en", m, on_failure="score_1", **k),
}
CAN = Abilities(logprobs=True, schema=True)
WAYS: dict[str, tuple[Model, Manner]] = {
    "plain": (Model(), Manner()),
    "other model": (Model("n"), Manner()),
    "stand-in": (Model(meaningful=False), Manner()),
    "bent": (Model(bent={"extra_body": {"reasoning_effort": "high"}}), Manner()),
    "bent otherwise": (Model(bent={"extra_body": {"reasoning_effort": "low"}}), Manner()),
    "sample rate": (Model(bent={"sample_rate": 8000}), Manner()),
    "two votes": (Model(), Manner(votes=2)),
    "geval": (Model(can=CAN), Manner(scoring="geval")),
    "geval, five likely tokens": (Model(can=replace(CAN, tops=5)), Manner(scoring="geval")),
    "geval by samples": (Model(), Manner(scoring="geval")),
    "geval by 7 samples": (Model(), Manner(scoring="geval", votes=7)),
    "json": (Model(can=CAN), Manner(output="json")),
    "geval, json": (Model(can=CAN), Manner(scoring="geval", output="json")),
    "recorded": (Model(), Manner(recorded=True)),
}


def made(make: Make, model: Model | None, manner: Manner) -> ModelJudge:
    judge = make(None if manner.recorded else model, manner=manner)
    asyncio.run(judge.ready())
    return judge


def settled(judge: ModelJudge) -> tuple[Any, ...]:
    """All that a verdict follows from, taken from the judge's parts instead of its signature."""
    how, model, rated = judge.how, judge.model, judge.contract.scale is not None
    words = [judge.rubric] if isinstance(judge, LLMJudge) else [*judge.rubrics.values()]  # type: ignore[attr-defined]
    lalm = (judge.on_failure, judge.hears_name) if isinstance(judge, LALMJudge) else ()
    extra = (getattr(judge, "kimi", None), getattr(judge, "threshold", None))
    if judge.recorded:
        name = words[0].name.partition("_")[0] if lalm else words[0].name
        return ("recorded", judge.contract.name, judge.reads, lalm[:1], extra, how.votes, name)
    assert isinstance(model, Model)
    weighed = rated and judge.mode.scoring == "logprobs"
    return (
        *(model.label, model.meaningful, repr(model.bent)),
        *(repr(how), judge.mode.scoring, judge.mode.json, weighed and judge.mode.tops),
        *(judge.contract.name, judge.reads, tuple(w.label + w.role for w in words), lalm, extra),
    )


def test_what_may_differ_signs_apart_and_what_may_not_signs_alike() -> None:
    judges = [made(make, *way) for make in MAKERS.values() for way in WAYS.values()]
    assert len(judges) > 300
    for one, two in combinations(judges, 2):
        same = settled(one) == settled(two)
        assert (one.signature == two.signature) == same, (one.signature, two.signature)


def test_each_setting_is_signed() -> None:
    judge = made(MAKERS["mcq"], Model(), Manner())
    seen = {judge.signature}
    changes: list[dict[str, Any]] = [
        *({"temperature": t} for t in (0.3, None)),
        *(
            {"top_p": 1.0},
            {"max_tokens": 7},
            {"seed": 5},
            {"seed": 0},
            {"system": "Be kind."},
            {"system": None},
        ),
    ]
    for change in changes:
        other = made(MAKERS["mcq"], Model(), Manner())
        other.asking = replace(other.asking, **change)
        assert other.signature not in seen, change
        seen.add(other.signature)


def test_a_users_rubric_as_system_message_signs_apart() -> None:
    one, two = (made(MAKERS["open kimi"], Model(), Manner()) for _ in range(2))
    assert isinstance(two, LLMJudge)
    two.rubric = replace(two.rubric, role="system")
    assert one.signature != two.signature


@pytest.mark.parametrize("name", MAKERS)
def test_recorded_replies_claim_no_words_and_no_settings(name: str) -> None:
    judge = made(MAKERS[name], None, Manner(recorded=True))
    who, votes, words, contract = judge.signature.split(" ")
    assert who == "recorded" and votes == f"x{judge.how.votes}" and words.endswith(":as-recorded")
    assert contract.startswith(judge.contract.name + "@")
    asked = judge.asking
    judge.asking = replace(asked, temperature=0.9, system="Other.", max_tokens=3)
    assert judge.signature == " ".join((who, votes, words, contract))
    metric = {"judges": [judge.signature]}
    assert own_rubrics(metric) == users_rubrics(metric) == []  # the report speaks of nobody's words
    assert _WORDING.findall(judge.signature) == [words]  # and run.json says that they are not known


def test_a_recorded_score_of_speech_names_no_rubrics_words() -> None:
    judge = lalm_presets.vstyle_judge("en", None, manner=Manner(recorded=True))
    sample = Sample("s", "t", (Turn("user", ("Say it.",)),), meta={"ability": "empathy/joy_excitement"})
    [verdict] = asyncio.run(judge.ask(sample, Answer("", Response("s", "hi"), recorded=("[[4]]",))))
    assert verdict.detail["rubric"] == "vstyle_empathy_en:as-recorded"


def test_options_that_change_replies_are_signed_by_every_client(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "k")
    here = {"base_url": "http://127.0.0.1:1/v1"}
    plain = openai.make_chat("m", here)
    assert named(plain) == named(openai.make_chat("m", {"base_url": "http://127.0.0.1:2/v1"})) == "m"
    given = [
        {"extra_body": '{"temperature": 1}'},
        {"extra_body": '{"temperature": 0}'},
        {"sample_rate": "8000"},
        {"audio_part": "audio_url"},
        {"audio_formats": "wav"},
    ]
    names = [named(openai.make_chat("m", here | g)) for g in given]
    assert len({"m", *names}) == len(given) + 1 and names[0].startswith("m[extra_body@")
    assert (
        named(openai.make_chat("m", here | {"timeout": "9", "concurrency": "2", "max_audio_seconds": "9"}))
        == "m"
    )
    assert named(gemini.make_chat("m", {})) == "m"
    bent = gemini.make_chat("m", {"extra_body": '{"generationConfig": {"temperature": 1}}'})
    assert named(bent).startswith("m[extra_body@")
    wrapped = MeteredChat(CachedChat(bent, {}, Cache(tmp_path)), "judge", None)
    assert named(wrapped) == named(bent)
    assert made(MAKERS["mcq"], wrapped, Manner()).signature.startswith(named(bent) + " x1 ")  # type: ignore[arg-type]


def test_fewer_likely_tokens_are_asked_for_signed_and_remembered(tmp_path: Any) -> None:
    for can in (replace(CAN, tops=5), Abilities()):  # the second time, the first answer is remembered
        cache = Cache(tmp_path)
        assert asyncio.run(abilities_of(CachedChat(Model(can=can), {"m": 1}, cache))) == replace(CAN, tops=5)
        cache.close()
    model = Model(can=replace(CAN, tops=5))
    judge = made(MAKERS["open kimi"], model, Manner(scoring="geval"))
    assert judge.signature.endswith(",geval-logprobs-top5")
    sample = Sample("s", "t", (Turn("user", ("Why?",)),), meta={"question": "Why?"})
    asyncio.run(judge.ask(sample, Answer("So.", Response("s", "So."))))
    assert model.asked[0].top_logprobs == 5


def test_run_json_and_the_report_say_that_the_words_are_not_known(bench: Bench) -> None:
    given = bench.tmp / "p.jsonl"
    rows = [
        {"id": f"q{k}", "text": "So.", "judge": ["4", "5", "3"], "row": {"prompt": "Why?"}} for k in range(2)
    ]
    given.write_text("".join(json.dumps(r) + "\n" for r in rows))
    task, out = "voicebench/alpacaeval_full", bench.tmp / "out"
    done = bench.here("score", given, "--task", task, "--protocol", "official", "--out", out)
    assert done.code == 0, done.said
    entry = json.loads((out / "run.json").read_text())["tasks"][task]
    assert entry["rubrics"] == ["voicebench_open:as-recorded"]
    assert ":as-recorded " in result(out, task)["judges"][0]
    page = (out / "report.html").read_text()
    assert "judged elsewhere" in page and "own-worded rubrics" not in page
