"""The public scorers' verdicts on judges' replies, when a judge gives these replies now instead of earlier."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evalkit.chat import ChatReply, ChatRequest
from evalkit.interfaces import Answer
from evalkit.records import Audio, Response, Sample, Turn, Verdict
from judges.asking import ModelJudge
from judges.lalm import Unreadable
from judges.lalm_presets import vstyle_judge
from judges.llm_presets import chatbot_judge, mcq_judge, open_judge, qa_judge
from judges.manner import Manner
from judges.mmau_pro_open import mmau_pro_open_judge
from judges.openaudiobench import INVALID_DROPPED, RATING_ABORTS, oab_judge
from judges.votes import OAB_POINTS
from tests.mock_openai import tone_wav


@dataclass
class Scripted:
    """A model that gives these replies, whatever it is asked."""

    texts: Sequence[str]
    label: str = "m"
    meaningful: bool = True
    hears: bool = True

    async def chat(self, request: ChatRequest) -> ChatReply:
        assert request.n == len(self.texts)
        return ChatReply(tuple(self.texts), finish=("stop",) * request.n)


def vectors(name: str) -> list[dict[str, Any]]:
    path = Path(__file__).parent / "vectors" / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def ask(judge: ModelJudge, *, question: str = "Why?", target: str = "So.", text: str = "So.") -> Verdict:
    meta = {"question": question, "ability": "empathy/anger"}
    sample = Sample("s", "t/x", (Turn("user", (question,)),), target=target, meta=meta)
    speech = Audio(data=tone_wav(0.2), format="wav")
    try:
        return asyncio.run(judge.ask(sample, Answer(text, Response("s", text, audio=speech))))[0]
    except Unreadable as exc:
        return exc.verdict


def cases() -> Iterator[tuple[str, Verdict, float | str | None]]:
    """(what, our verdict, the public one: None where it has none, text where that is no number)."""
    for v in vectors("voicebench.open"):
        judge = open_judge("official", Scripted(v["score"]), manner=Manner(votes=len(v["score"])))
        yield v["id"], ask(judge), v["official"]["mean"]
    for v in vectors("voicebench.kimi_open"):
        yield v["id"], ask(open_judge("kimi", Scripted([v["judge_text"]]))), v["kimi"]["score_rounded2"]
    for v in vectors("voicebench.kimi_collect_acc"):
        right = {"yes": 1.0, "no": 0.0}.get(v["kimi"]["verdict"])
        yield v["id"], ask(mcq_judge(Scripted([v["judge_text"]]))), right
        yield v["id"], ask(qa_judge("kimi", Scripted([v["judge_text"]]))), right
    for v in vectors("voicebench.sdqa"):
        if v["score"] == [s.strip() for s in v["score"]]:  # the live client strips, the evaluator doesn't
            judge = qa_judge("official", Scripted(v["score"]), manner=Manner(votes=len(v["score"])))
            found = ask(judge, question=v["prompt"], target=v["reference"], text=v["response"])
            yield v["id"], found, v["official"]["gpt_majority"]
    for v in vectors("ultraeval.ue_chatbot_eval"):
        found = ask(chatbot_judge(Scripted([v["input"]["judge"]])), question=v["input"]["instruction"])
        yield f"ue {v['case']}", found, v.get("official", {}).get("geval")
    for v in vectors("vstyle.judge_replies"):
        score = v["float_value"] if v["api_success"] else None
        yield v["case_id"], ask(vstyle_judge("en", Scripted([v["reply"]]))), score
    for v in vectors("mmau_pro.judge_parse"):
        reply = v["evaluation_text"]
        yield reply, ask(mmau_pro_open_judge(Scripted([reply]))), v["scores"]["overall"] / 5


def test_every_reply_is_read_as_the_public_scorer_reads_it() -> None:
    seen = 0
    for what, verdict, public in cases():
        seen += 1
        if public is None or not math.isfinite(float(public)):
            assert verdict.value is None and verdict.reason, what
        else:
            assert verdict.value == pytest.approx(
                float(public), abs=0.0051 if "kimi-open" in what else 1e-9
            ), what
    assert seen > 500


@pytest.mark.parametrize("subset", OAB_POINTS)
def test_openaudiobench_drops_what_the_public_scorer_drops(subset: str) -> None:
    found = [v for v in vectors("ultraeval.kimi_oab") if v["subset"] == subset]
    assert len(found) >= 40
    for v in found:
        verdict = ask(oab_judge(subset, Scripted([v["judge"]]), "kimi"))
        if "metrics" not in v:
            assert verdict.value is None and verdict.touched in (INVALID_DROPPED, RATING_ABORTS), v
            continue
        metrics = v["metrics"]
        wanted = metrics.get("score", metrics.get("acc"))
        assert verdict.value is not None and verdict.value * OAB_POINTS[subset] == pytest.approx(
            wanted, abs=0.0051
        ), v
