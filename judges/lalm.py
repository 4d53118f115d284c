"""Judges that put sound before a model that hears: rubric, then the user's audio, then the response's speech.

The order of the parts is VStyle's (sheet section 3). The reply contract is in `judges.vstyle_votes`, the
public settings in `judges.lalm_presets`.

One request is one attempt, and the engine makes up to five (`--retries`). What becomes of each:

    what happened                                   again   after the last: "drop"    "score_1"
    empty, unparseable, refused, cut off            yes     unscored, out of the mean 1
    withheld by a filter (content-filter)           yes     unscored, out of the mean unscored
    the client failed in an unforeseen way (error)  yes     unscored, out of the mean unscored
    timeout, rate limit, server error, bad reply    yes     unscored, out of the mean unscored
    refused by the endpoint (http-400, ...)         yes (1) unscored, out of the mean unscored
    audio beyond a limit, no such ability, budget   no      unscored, out of the mean unscored
    no speech                                       no      unscored, out of the mean 1

(1) As the public scorer does with any exception; "strict" judges don't, since the same request fails again.
What is unscored is asked for by the next run. VStyle sheet sections 5 to 7; internal-set sheet section 5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Literal

from evalkit.audio import AudioError, materialise
from evalkit.chat import ChatModel, ChatReply, ChatRequest
from evalkit.errors import RunnerError, UsageError
from evalkit.interfaces import Answer
from evalkit.linefiles import StoreError
from evalkit.records import JSON, Audio, Sample, Verdict, digest_of
from evalkit.sources import fetch_origin
from judges.asking import Asking, ModelJudge, NotJudgeable, as_recorded
from judges.contracts import Contract
from judges.failures import UNREADABLE
from judges.manner import PLAIN, Manner
from judges.prompts import Rubric

Hears = Literal["reply", "both-if-there", "both"]
"""What the judge is played: the reply; the user's turn, too, where it can be found; or both, or nothing."""
OnFailure = Literal["drop", "score_1"]

DROPPED = "dropped_failure"
"""`touched` of a failed judgement that the public scorer leaves out of its mean."""
SCORED_1 = "failure_scored_1"
"""`touched` of a failed judgement that counts as the lowest score."""

BLOCKED = "content-filter"
"""Kind of the error of a reply that was withheld; the next one may not be."""
CRASHED = "error"
"""Kind of the error of a client that raised something unforeseen."""
HOPELESS = frozenset(
    {
        *("audio-too-long", "audio-too-large", "audio-format", "bad-audio", "no-ears"),
        *("no-logprobs", "no-schema", "budget", "reply-too-large"),
    }
)
"""Kinds of errors that the same request meets again, whoever is asked how often."""

NO_SPEECH = "no-speech: the response has no speech to judge"
LOWEST = 1.0
SPEAKS_OF_THE_ANSWER = frozenset({NO_SPEECH.partition(":")[0], *UNREADABLE} - {f"judge-{BLOCKED}"})
"""Codes of failures that "score_1" counts as the lowest score; all others say nothing of the answer."""

LALMFields = Callable[[Sample, str], Mapping[str, str]]
"""Fills a rubric's placeholders for one sample, given the sentence that says what recordings follow.

Raises NotJudgeable when it can't.
"""

REPLY_FOLLOWS = "One recording follows this text: the assistant's reply."
BOTH_FOLLOW = "Two recordings follow this text: first what the user said, then the assistant's reply."


class Unreadable(RunnerError):
    """The judge replied, but its reply can't be read; asking again may help."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__("unparseable", "the judge's reply can't be read", retryable=True)
        self.verdict = verdict


class LALMJudge(ModelJudge):
    """One metric from the scores of a model that hears the response.

    Args:
        rubrics: what the model is asked, by the name `pick` gives for a sample.
        pick: which rubric a sample takes.
        fields: fills the rubric.
        hears: what the judge is played, by sample.
        on_failure: what comes of a response without speech, and of a judge whose replies stay unreadable:
            "drop" leaves it unscored, "score_1" gives the lowest score. Both are counted (`touched`).
        stubborn: ask again after any error of the endpoint that isn't fatal, as the public scorer does.
        metric, contract, model, asking, manner: see `ModelJudge`.

    Attributes:
        remembers: keep live verdicts in `given`, by sample and answer, for a judge that builds on them.

    An unreadable reply is a failed attempt: the engine asks again. A judge that can't be reached says nothing
    of the answer: that stays unscored and is asked again next time. Each verdict has `counts` for a
    mean weighted by `sample.meta["weight"]` (default 1).
    """

    reads = "audio"
    role = "lalm-judge"
    judges_absence = True
    unbound = "judge-unbound: no LALM judge bound; pass --lalm-judge gemini/MODEL or openai/MODEL"

    def __init__(
        self,
        *,
        metric: str,
        rubrics: Mapping[str, Rubric],
        pick: Callable[[Sample], str],
        fields: LALMFields,
        contract: Contract,
        model: ChatModel | None,
        hears: Callable[[Sample], Hears] = lambda sample: "reply",
        hears_name: str = "reply",
        on_failure: OnFailure = "drop",
        stubborn: bool = False,
        asking: Asking | None = None,
        manner: Manner = PLAIN,
    ) -> None:
        super().__init__(metric=metric, contract=contract, model=model, asking=asking, manner=manner)
        self.rubrics, self.pick, self.fields = rubrics, pick, fields
        self.hears, self.hears_name = hears, hears_name
        self.on_failure, self.stubborn = on_failure, stubborn
        self.remembers = False
        self.given: dict[tuple[str, str], Verdict] = {}

    @property
    def wording(self) -> str:
        """One rubric by name; several by what their names begin with and a digest of them all."""
        labels = sorted(r.label for r in self.rubrics.values())
        if len(labels) == 1:
            return labels[0]
        name = next(iter(self.rubrics.values())).name.partition("_")[0]
        origins = "+".join(sorted({r.origin for r in self.rubrics.values()}))
        return f"{name}*{len(labels)}:{origins}@{digest_of(labels)[:8]}"

    @property
    def roles(self) -> list[str]:
        return sorted({r.role for r in self.rubrics.values()})

    def settings(self) -> list[JSON]:
        played = [] if self.recorded else [self.hears_name]
        return [*super().settings(), *played, self.on_failure]

    async def ask(self, sample: Sample, answer: Answer) -> list[Verdict]:
        """Read the recorded replies, else play the recordings to the model.

        Raises:
            RunnerError: the request failed; `Unreadable`, when the reply can't be read.
        """
        if answer.recorded is not None:
            return [self._settled(sample, self.read(answer.recorded, {"model": "recorded"}))]
        silent = answer.response.audio is None
        if self.model is None and not (self.recorded and silent):
            return self.unscored(self.unbound)
        if silent:
            return [self._settled(sample, Verdict(self.metrics[0], None, reason=NO_SPEECH))]
        assert self.model is not None
        await self.ready()
        try:
            request = await self.prepared(sample, answer)
        except NotJudgeable as exc:
            return [self._settled(sample, Verdict(self.metrics[0], None, reason=str(exc)))]
        reply = await self._attempt(self.model, request)
        provenance = self._provenance(self.model, reply) | {"heard": heard(request, reply)}
        verdict = self.weigh(reply, provenance)
        settled = self._settled(sample, verdict)
        if verdict.code in UNREADABLE and self.mode.scoring != "samples":  # G-Eval drew enough replies
            raise Unreadable(settled)
        if self.remembers:
            self.given[sample.id, answer.response.digest()] = settled
        return [settled]

    async def _attempt(self, model: ChatModel, request: ChatRequest) -> ChatReply:
        """One attempt. Raises RunnerError: `retryable` where another attempt is to be made."""
        try:
            return await model.chat(request)
        except RunnerError as exc:
            if exc.kind == BLOCKED or (self.stubborn and not exc.fatal and exc.kind not in HOPELESS):
                exc.retryable = True
            raise
        except (UsageError, StoreError):  # not the judge's: its weights can't be loaded, the disk is full
            raise
        except Exception as exc:
            told = " ".join(str(exc).split())[:300]
            message = f"{model.label} raised {type(exc).__name__}{f': {told}' if told else ''}"
            raise RunnerError(CRASHED, message, retryable=True) from exc

    async def prepared(self, sample: Sample, answer: Answer) -> ChatRequest:
        rubric, reply, hears = self.rubric_of(sample), answer.response.audio, self.hears(sample)
        if reply is None:
            raise NotJudgeable(NO_SPEECH)
        turn = users_turn(sample) if hears != "reply" else None
        users = await asyncio.to_thread(loaded, turn) if turn is not None else None
        if users is None and hears == "both":
            raise NotJudgeable("no-user-audio: the judge has to hear the user's turn, which can't be read")
        speech = await asyncio.to_thread(loaded, reply)
        if speech is None:
            raise NotJudgeable("bad-speech: the response's speech can't be read; generate it again")
        told = rubric.render(**self.fields(sample, BOTH_FOLLOW if users is not None else REPLY_FOLLOWS))
        parts = (told, users, speech) if users is not None else (told, speech)
        return self.chat_request((rubric.role, parts))

    def rubric_of(self, sample: Sample) -> Rubric:
        """The rubric this sample takes. Raises NotJudgeable."""
        name = self.pick(sample)
        if name not in self.rubrics:
            known = ", ".join(self.rubrics)
            raise NotJudgeable(f"unknown-category: there is no rubric for {name!r}, only for {known}")
        return self.rubrics[name]

    def gave_up(self, error: RunnerError) -> list[Verdict]:
        """Replies that stay unreadable are a failure as `on_failure` says; all else is asked again next time."""
        if isinstance(error, Unreadable):
            detail = {**error.verdict.detail, "attempts": error.attempts}
            return [replace(error.verdict, detail=detail)]
        [verdict] = super().gave_up(error)
        told = replace(verdict, detail={**verdict.detail, "error": error.kind, "attempts": error.attempts})
        return [replace(told, touched=DROPPED) if self.on_failure == "drop" else told]

    def _settled(self, sample: Sample, verdict: Verdict) -> Verdict:
        """The verdict with its weight; of a failure, what `on_failure` makes of it."""
        value, touched, detail = verdict.value, verdict.touched, dict(verdict.detail)
        with suppress(NotJudgeable):
            label = self.rubric_of(sample).label
            detail["rubric"] = as_recorded(label) if self.recorded else label
        if value is None and touched is None:
            if self.on_failure == "drop":
                return replace(verdict, touched=DROPPED, detail=detail)
            if verdict.code not in SPEAKS_OF_THE_ANSWER:
                return replace(verdict, detail=detail)
            value, touched, detail["failure"] = LOWEST, SCORED_1, verdict.reason
        if value is None:
            return replace(verdict, detail=detail)
        weight = float(sample.meta.get("weight", 1.0))
        counts = {"weighted": value * weight, "weight": weight}
        return replace(verdict, value=value, touched=touched, counts=counts, detail=detail, reason=None)


def users_turn(sample: Sample) -> Audio | None:
    """The last piece of audio of the last user turn, if there is one."""
    turns = [t for t in sample.turns if t.role == "user"]
    heard = [p for p in turns[-1].parts if isinstance(p, Audio)] if turns else []
    return heard[-1] if heard else None


def loaded(audio: Audio) -> Audio | None:
    """The audio with its bytes, from memory, its file or where it came from; None when they are gone or changed.

    The engine forgets the bytes of a question once it was asked. Reads files: call it in a thread.
    """
    if not audio.data and audio.path is None:
        data = fetch_origin(audio.origin) if audio.origin else None
        if not data:
            return None
        found = replace(audio, data=data)
    else:
        found = audio
    try:
        read = materialise(found)
    except AudioError:
        return None
    return read if audio.sha256 in (None, read.sha256) else None


def heard(request: ChatRequest, reply: ChatReply) -> list[JSON]:
    """What was played, in order, for `detail`: digest, seconds and container of each piece as it is on record,
    and as which container it was sent ("sent"), decoded and encoded anew or not ("converted").

    The last two are missing where the model's client doesn't tell. (Older runs have digests alone.)
    """
    contents = [c for _, c in request.messages if not isinstance(c, str)]
    pieces = [p for c in contents for p in c if isinstance(p, Audio)]
    told: list[JSON] = []
    for k, piece in enumerate(pieces):
        one: dict[str, JSON] = {"sha256": piece.digest()}
        if piece.seconds is not None:
            one["seconds"] = round(piece.seconds, 2)
        if piece.format is not None:
            one["format"] = piece.format
        if k < len(reply.sent):
            sent = reply.sent[k]
            one |= {"sent": sent.format, "converted": sent.converted}
            if sent.truncated:
                one["truncated"] = True
        told.append(one)
    return told
