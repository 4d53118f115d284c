"""LALM judges ready made: VStyle's, and those of speech instruction-following and voice empathy.

Sources: VStyle sheet sections 3 to 5 and 7; internal-set sheet sections 3 to 5. The wording is ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

from evalkit.chat import ChatModel
from evalkit.errors import UsageError
from evalkit.records import JSON, Sample
from judges.asking import Asking, NotJudgeable
from judges.lalm import Hears, LALMJudge, OnFailure
from judges.manner import PLAIN, Manner, votes_of
from judges.vstyle_votes import Parser, vstyle_contract

VSTYLE_CATEGORIES = ("acoustic_attributes", "instruction", "role_play", "empathy")
Track = Literal["speech_if", "empathy_semantic", "empathy_paralinguistic"]

NAMED_AUDIO = "instruction_audio_named"
"""Key of `Sample.meta` that is true when the row names the user's audio for the judge."""

WITHHELD = "(withheld)"
NONE_GIVEN = "(none)"


def runs_of(options: Mapping[str, JSON]) -> int:
    """Replies asked for per answer: ``-O judge_votes=N``, for LALM judges alone also ``-O judge_runs=N``; default 1.

    Raises:
        UsageError: it is not 1 to 100.
    """
    if (votes := votes_of(options)) is not None:
        return votes
    text = str(options.get("judge_runs", 1))
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 100):
        raise UsageError(f"-O judge_runs={text}: write a whole number from 1 to 100")
    return int(text)


def user_audio_of(options: Mapping[str, JSON]) -> bool | None:
    """``-O judge_user_audio=yes|no``; None leaves it to the protocol. Raises UsageError for anything else."""
    given = options.get("judge_user_audio")
    if given is None or isinstance(given, bool):
        return given
    if str(given) not in ("yes", "no"):
        raise UsageError(f"-O judge_user_audio={given}: write yes or no")
    return str(given) == "yes"


def switched_on(options: Mapping[str, JSON], name: str) -> bool:
    """``-O NAME=yes|no``, off by default. Raises UsageError for anything else."""
    given = options.get(name, "no")
    if given not in ("yes", "no", True, False):
        raise UsageError(f"-O {name}={given}: write yes or no")
    return given in ("yes", True)


def _asking(parser: Parser, runs: int) -> Asking:
    """The public call sets no decoding: neither does "official"; "strict" asks at temperature 0, seeded."""
    if parser == "official":
        return Asking(votes=runs, temperature=None)
    return Asking(votes=runs, seed=0)


def vstyle_judge(
    language: str,
    model: ChatModel | None,
    *,
    parser: Parser = "official",
    on_failure: OnFailure = "drop",
    runs: int = 1,
    user_audio: bool | None = None,
    manner: Manner = PLAIN,
) -> LALMJudge:
    """Metric "score": 1 to 5 by the decision tree of the sample's category. VStyle sheet sections 3 to 5.

    Args:
        language: whose rubrics, "en" or "zh".
        user_audio: play the user's turn, too. None: where the row names it for the judge and it is there
            (the public scorer's undocumented field); by default the judge hears the reply alone.
    """

    def hears(sample: Sample) -> Hears:
        if user_audio is None:
            return "both-if-there" if sample.meta.get(NAMED_AUDIO) else "reply"
        return "both" if user_audio else "reply"

    return LALMJudge(
        metric="score",
        rubrics={c: manner.rubric(f"vstyle_{c}_{language}") for c in VSTYLE_CATEGORIES},
        pick=lambda sample: str(sample.meta.get("ability", "")).partition("/")[0],
        fields=_vstyle_fields,
        contract=vstyle_contract(parser, runs),
        model=model,
        hears=hears,
        hears_name="as-named" if user_audio is None else "both" if user_audio else "reply",
        on_failure=on_failure,
        stubborn=parser == "official",
        asking=_asking(parser, runs),
        manner=manner,
    )


def _vstyle_fields(sample: Sample, recordings: str) -> dict[str, str]:
    if not sample.question.strip():
        raise NotJudgeable("no-question: the judge needs the instruction in words; give it as instruct_text")
    ability = str(sample.meta.get("ability", ""))
    return {"ability": ability, "instruction": sample.question, "recordings": recordings}


TRACK_FIELDS: Mapping[Track, tuple[str, ...]] = {
    "speech_if": ("requirements", "content"),
    "empathy_semantic": ("user_state",),
    "empathy_paralinguistic": ("user_state", "cue"),
}
"""What an item of a track has to give, for the judge to be told it."""


def speech_style_judge(
    track: Track,
    model: ChatModel | None,
    *,
    parser: Parser = "strict",
    on_failure: OnFailure = "score_1",
    runs: int = 1,
    user_audio: bool = False,
    control: bool = False,
    metric: str = "score",
    manner: Manner = PLAIN,
) -> LALMJudge:
    """Metric "score" (or as `metric` says): 1 to 5 by the tree of one track. Internal-set sheet sections 3 to 5.

    Args:
        user_audio: play the user's turn, too; without it a sample stays unscored then.
        control: withhold the cue, to see how far the words alone carry (section 4); give no user audio with it.
    """

    def fields(sample: Sample, recordings: str) -> dict[str, str]:
        told = {name: _told(sample.meta.get(name)) for name in TRACK_FIELDS[track]}
        if control and "cue" in told:
            told["cue"] = WITHHELD
        return told | {
            "category": str(sample.meta.get("category") or NONE_GIVEN),
            "history": str(sample.meta.get("history") or NONE_GIVEN),
            "transcript": sample.question,
            "reply_language": str(sample.meta.get("reply_language") or sample.meta.get("language") or ""),
            "recordings": recordings,
        }

    hears: Hears = "both" if user_audio else "reply"
    judge = LALMJudge(
        metric=metric,
        rubrics={track: manner.rubric(f"speech_style_{track}")},
        pick=lambda sample: track,
        fields=fields,
        contract=vstyle_contract(parser, runs),
        model=model,
        hears=lambda sample: hears,
        hears_name=f"{hears}{',no cue' if control else ''}",
        on_failure=on_failure,
        stubborn=parser == "official",
        asking=_asking(parser, runs),
        manner=manner,
    )
    judge.recorded_by_name = metric != "score"  # a reply that stands alone is the score's
    return judge


def _told(value: JSON) -> str:
    """A field of the manifest in lines a judge can read: `type: value` for each demand, else as JSON."""
    if not value:
        return NONE_GIVEN
    if isinstance(value, str):
        return value
    items = value if isinstance(value, list) else [value]
    return "\n".join(_line(item) for item in items)


def _line(item: JSON) -> str:
    if not isinstance(item, Mapping):
        return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
    words = (
        f"{k}: {v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)}" for k, v in item.items()
    )
    return "; ".join(words)
