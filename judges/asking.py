"""What all judges share that ask a model: replies recorded or asked for, read by a contract, and signed.

Text in, text out is `judges.llm`; judges whose model hears are in `judges.lalm`.

A reply that can't be had or read leaves the sample unscored, with its code. None is ever cached, and the next run
asks for those samples alone. Within a run:

    code                       what happened                                    asked again at once
    judge-unparseable          in no form its contract knows                    once, if sampled
    judge-refused              marked as a refusal, or begins like one          once, if sampled
    judge-truncated            cut off before its verdict                       once, if sampled
    judge-empty                no words                                         once, if sampled
    judge-content-filter       withheld by the endpoint                         no
    judge-out-of-range         a rating the contract refuses                    no
    judge-nonfinite, vote-tie  read, but no verdict follows                     no
    judge-no-logprobs          no (usable) log-probabilities beside it          no
    judge-bad-reply            fewer votes than asked for                       as the engine retries
    judge-timeout, -http-429, -http-5xx, -connection-lost                       as the engine retries
    any other judge-K          the request failed (`RunnerError.kind` K)        no

Sampled means at a temperature above 0, or at the endpoint's own: a greedy judge would say the same again. What was
said first stays in `detail["earlier"]`. What can't
be read among the many replies of G-Eval's sampling is no failure by itself. LALM judges ask again as often as the
engine retries, as VStyle does (`judges.lalm`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evalkit.chat import ChatModel, ChatReply, ChatRequest, abilities_of, named
from evalkit.errors import RunnerError
from evalkit.interfaces import Answer, Judge
from evalkit.records import JSON, Audio, Sample, Verdict, digest_of
from judges import geval
from judges.contracts import Contract, Reading, pooled
from judges.failures import AGAIN, refined
from judges.manner import PLAIN, Manner
from judges.structured import held, note_for, schema_for

REPLY_LIMIT = 8000
"""Characters of a raw reply that go on record; of a longer one the middle is cut out."""

Fields = Callable[[Sample, Answer], Mapping[str, str]]
"""Fills a rubric's placeholders for one sample; raises NotJudgeable when it can't."""


class NotJudgeable(ValueError):
    """This sample lacks what the rubric needs; the message is the reason (code first)."""


def as_recorded(wording: str) -> str:
    """The name of a rubric or rubrics without whose words and which: "voicebench_open:as-recorded"."""
    return f"{wording.partition(':')[0]}:as-recorded"


def clip(reply: str) -> str:
    """The reply, or its head and tail when it is longer than REPLY_LIMIT characters."""
    if len(reply) <= REPLY_LIMIT:
        return reply
    half = REPLY_LIMIT // 2
    return f"{reply[:half]}\n[... {len(reply) - 2 * half} characters cut ...]\n{reply[-half:]}"


@dataclass(frozen=True, slots=True)
class Asking:
    """How a judge's model is asked.

    Attributes:
        votes: independent replies per answer.
        temperature, top_p, max_tokens, seed: decoding; None leaves it to the endpoint.
        system: system message, or None for none.

    Raises:
        ValueError: no votes.
    """

    votes: int = 1
    temperature: float | None = 0.0
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    system: str | None = None

    def __post_init__(self) -> None:
        if self.votes < 1:
            raise ValueError("a judge gives at least one vote")


@dataclass(frozen=True, slots=True)
class Mode:
    """What becomes of a user's `Manner` once it is known what the model can do.

    Attributes:
        scoring: "plain", "logprobs" (G-Eval over the tokens of one reply) or "samples" (over many replies).
        json: replies are held to a schema.
        tops: likely tokens to ask for in each place, where these are weighed.
        settled: False while that hasn't been asked.
    """

    scoring: Literal["plain", "logprobs", "samples"] = "plain"
    json: bool = False
    tops: int = geval.TOP
    settled: bool = True


class ModelJudge(Judge):
    """One metric from the votes of a model.

    Args:
        metric: name of the metric.
        contract: reads the replies.
        model: whom to ask; None leaves samples unscored, except where replies were recorded.
        asking: how it is asked.
        manner: how the model is asked and read.

    `ready` settles what of `manner` the model can do. G-Eval and schemas only concern replies that are asked for:
    recorded ones are read as the contract reads them, and signed so. Contracts without a scale (right or
    wrong) stay plain, and their signature is the plain one; so is that of a contract without a schema.
    """

    asks_model = True
    unbound = "judge-unbound: no judge bound; pass --judge openai/MODEL"

    def __init__(
        self,
        *,
        metric: str,
        contract: Contract,
        model: ChatModel | None,
        asking: Asking | None = None,
        manner: Manner = PLAIN,
    ) -> None:
        self.metrics = (metric,)
        self.contract = contract
        self.model = model
        self.asking = asking or Asking()
        self.manner = manner
        self.recorded = manner.recorded
        if manner.votes is not None:
            self.asking = replace(self.asking, votes=manner.votes)
            self.contract = pooled(contract) if manner.votes > 1 else contract
        self._live = self.contract
        asked = self.model is not None and not self.recorded
        geval_wanted = manner.scoring == "geval" and contract.scale is not None
        json_wanted = manner.output == "json" and schema_for(contract) is not None
        self.mode = Mode(settled=not (asked and (geval_wanted or json_wanted)))

    async def ready(self) -> None:
        """Settle `mode`. Raises RunnerError when the model can't be asked what it can do."""
        if self.mode.settled or self.model is None:
            return
        can = await abilities_of(self.model)
        json = can.schema and self.manner.output == "json" and schema_for(self.contract) is not None
        scoring: Literal["plain", "logprobs", "samples"] = "plain"
        if self.manner.scoring == "geval" and self.contract.scale is not None:
            scoring = "logprobs" if can.logprobs else "samples"
        self._live = held(self.contract) if json else self.contract
        self.mode = Mode(scoring, json, min(geval.TOP, can.tops or geval.TOP))

    @property
    def how(self) -> Asking:
        """How the model is asked, given the mode: G-Eval over tokens takes one greedy reply, over samples
        20 (or as many as the user says) at temperature 1 and top_p 1."""
        if self.mode.scoring == "logprobs":
            return replace(self.asking, votes=1, temperature=0.0)
        if self.mode.scoring == "samples":
            votes = self.manner.votes or geval.SAMPLES
            return replace(self.asking, votes=votes, temperature=1.0, top_p=1.0)
        return self.asking

    @property
    @abstractmethod
    def wording(self) -> str:
        """The rubric or rubrics by name and hash."""

    @property
    @abstractmethod
    def roles(self) -> list[str]:
        """The chat roles that the rubrics are sent as."""

    def settings(self) -> list[JSON]:
        """What decides verdicts beside model, votes, wording and contract.

        Of replies recorded earlier only what reads them: how they were asked for is not known.
        """
        if self.recorded:
            return [self.reads]
        how = self.how
        more: list[JSON] = [note_for(self.contract)] if self.mode.json else []
        more += [{"seed": how.seed}] if how.seed is not None else []
        more += [{"roles": self.roles}] if set(self.roles) != {"user"} else []
        return [how.temperature, how.top_p, how.max_tokens, how.system, self.reads, *more]

    @property
    def signature(self) -> str:
        """Who judged, votes, rubric by hash, contract and a digest of the other settings.

        For example ``gpt-4o-mini x3 voicebench_open:own@1b7c9f0e official-open@5d21``; with ``,geval-logprobs`` or
        ``,geval-20-samples``, and ``,json``, where these are used. Replies recorded earlier were asked for in words
        that nobody knows: ``recorded x3 voicebench_open:as-recorded official-open@0c1f``.
        """
        contract = f"{self.contract.name}@{digest_of(self.settings())[:4]}{self._moded()}"
        words = as_recorded(self.wording) if self.recorded else self.wording
        return f"{self._who()} x{self.how.votes} {words} {contract}"

    def _moded(self) -> str:
        if not self.mode.settled:
            return ",unsettled"
        fewer = "" if self.mode.tops == geval.TOP else f"-top{self.mode.tops}"
        weighed, drawn = f",geval-logprobs{fewer}", f",geval-{self.how.votes}-samples"
        scored = {"plain": "", "logprobs": weighed, "samples": drawn}
        return scored[self.mode.scoring] + (",json" if self.mode.json else "")

    def _who(self) -> str:
        if self.recorded:
            return "recorded"
        if self.model is None:
            return "unbound"
        return named(self.model) if self.model.meaningful else f"{named(self.model)} (not meaningful)"

    async def ask(self, sample: Sample, answer: Answer) -> list[Verdict]:
        """Read the recorded replies, else ask the model. Raises RunnerError when the request fails."""
        if answer.recorded is not None:
            return [self.read(answer.recorded, {"model": "recorded"})]
        if self.model is None:
            return self.unscored(self.unbound)
        await self.ready()
        try:
            request = await self.prepared(sample, answer)
        except NotJudgeable as exc:
            return self.unscored(str(exc))
        told = self.noticed(answer)
        reply = await self.model.chat(request)
        verdict = self.weigh(reply, {**self._provenance(self.model, reply), **told})
        if verdict.code in AGAIN and self.mode.scoring != "samples" and _sampled(request):
            # Sampled, so another reply may do; with a seed of its own, or it would be the same.
            seed = None if request.seed is None else request.seed + request.n
            try:
                again = await self.model.chat(replace(request, seed=seed))
            except RunnerError as exc:
                if exc.fatal:
                    raise
                return [verdict]
            both = replace(again, usage=_summed(reply.usage, again.usage))
            provenance = {
                **self._provenance(self.model, both),
                **told,
                "attempts": 2,
                "earlier": [clip(t) for t in reply.texts],
            }
            verdict = self.weigh(both, provenance)
        return [verdict]

    @abstractmethod
    async def prepared(self, sample: Sample, answer: Answer) -> ChatRequest:
        """What the model is sent for this answer. Raises NotJudgeable."""

    def noticed(self, answer: Answer) -> Mapping[str, JSON]:
        """What of the answer a reader of the verdict should know, for `detail`."""
        return {}

    def chat_request(self, *messages: tuple[str, str | tuple[str | Audio, ...]]) -> ChatRequest:
        """These messages, after the system message, with the judge's settings."""
        how = self.how
        system = (("system", how.system),) if how.system else ()
        schema = schema_for(self.contract) if self.mode.json else None
        if schema is not None:
            messages = (*messages[:-1], _with_note(messages[-1], note_for(self.contract)))
        return ChatRequest(
            messages=(*system, *messages),
            temperature=how.temperature,
            top_p=how.top_p,
            max_tokens=how.max_tokens,
            n=how.votes,
            seed=how.seed,
            choices=self.contract.choices if schema is None else (),
            top_logprobs=self.mode.tops if self.mode.scoring == "logprobs" else 0,
            schema=schema,
        )

    def read(self, replies: Sequence[str], provenance: Mapping[str, JSON]) -> Verdict:
        """The verdict on raw replies as the contract reads them; `provenance` goes into `detail`."""
        return self._verdict(refined(self.contract, replies), replies, provenance)

    def weigh(self, reply: ChatReply, provenance: Mapping[str, JSON]) -> Verdict:
        """The verdict on what the model replied, by the mode of this judge. Raises RunnerError for too few replies."""
        texts, contract = self._replies(reply), self._live
        if self.mode.scoring == "logprobs":
            reading = geval.from_tokens(contract, texts[0], reply.tokens[0] if reply.tokens else ())
        elif self.mode.scoring == "samples":
            return self._verdict(geval.from_samples(contract, texts), texts, provenance)
        else:
            reading = contract.read(texts)
        return self._verdict(refined(contract, texts, reply, reading), texts, provenance)

    def _verdict(self, reading: Reading, replies: Sequence[str], provenance: Mapping[str, JSON]) -> Verdict:
        detail = {
            "replies": [clip(r) for r in replies],
            "votes": list(reading.votes),
            **provenance,
            **reading.detail,
        }
        return Verdict(
            self.metrics[0],
            reading.value,
            counts=reading.counts,
            detail=detail,
            reason=reading.reason,
            touched=reading.touched,
        )

    def _replies(self, reply: ChatReply) -> tuple[str, ...]:
        """The stripped votes. Fewer than asked for is a bad reply, not a smaller vote."""
        wanted = self.how.votes
        if len(reply.texts) < wanted:
            message = f"the judge gave {len(reply.texts)} of {wanted} replies asked for"
            raise RunnerError("bad-reply", message, retryable=True)
        return tuple(t.strip() for t in reply.texts[:wanted])

    @staticmethod
    def _provenance(model: ChatModel, reply: ChatReply) -> dict[str, JSON]:
        out: dict[str, JSON] = {"model": reply.model or model.label}
        if not model.meaningful:
            out["meaningful"] = False
        if reply.usage:
            out["usage"] = dict(reply.usage)
        return out


def _sampled(request: ChatRequest) -> bool:
    return request.temperature is None or request.temperature > 0


def _summed(first: Mapping[str, JSON], second: Mapping[str, JSON]) -> dict[str, JSON]:
    """The usage of two requests; counts add up."""
    out = {**first, **second}
    for key in first.keys() & second.keys():
        if isinstance(first[key], int | float) and isinstance(second[key], int | float):
            out[key] = first[key] + second[key]
    return out


def _with_note(
    message: tuple[str, str | tuple[str | Audio, ...]], note: str
) -> tuple[str, str | tuple[str | Audio, ...]]:
    """The message with a note below its text, which stands before the recordings."""
    role, content = message
    if isinstance(content, str):
        return role, f"{content}\n\n{note}"
    return role, tuple(
        f"{p}\n\n{note}" if k == 0 and isinstance(p, str) else p for k, p in enumerate(content)
    )
