"""What all judges share that ask a model: replies recorded or asked for, read by a contract, and signed.

Text in, text out is `judges.llm`; judges whose model hears are in `judges.lalm`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evalkit.chat import ChatModel, ChatReply, ChatRequest
from evalkit.errors import RunnerError
from evalkit.interfaces import Answer, Judge
from evalkit.records import JSON, Audio, Sample, Verdict, digest_of
from judges.contracts import Contract
from judges.manner import PLAIN, Manner

REPLY_LIMIT = 8000
"""Characters of a raw reply that go on record; of a longer one the middle is cut out."""

Fields = Callable[[Sample, Answer], Mapping[str, str]]
"""Fills a rubric's placeholders for one sample; raises NotJudgeable when it can't."""


class NotJudgeable(ValueError):
    """This sample lacks what the rubric needs; the message is the reason (code first)."""


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


class ModelJudge(Judge):
    """One metric from the votes of a model.

    Args:
        metric: name of the metric.
        contract: reads the replies.
        model: whom to ask; None leaves samples unscored, except where replies were recorded.
        asking: how it is asked.
        manner: how the model is asked and read.
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

    @property
    @abstractmethod
    def wording(self) -> str:
        """The rubric or rubrics by name and hash."""

    def settings(self) -> list[JSON]:
        """What decides verdicts beside model, votes, wording and contract."""
        how = self.asking
        return [how.temperature, how.top_p, how.max_tokens, how.system, self.reads]

    @property
    def signature(self) -> str:
        """Who judged, votes, rubric by hash, contract and a digest of the other settings.

        For example ``gpt-4o-mini x3 voicebench_open:own@1b7c9f0e official-open@5d21``.
        """
        contract = f"{self.contract.name}@{digest_of(self.settings())[:4]}"
        return f"{self._who()} x{self.asking.votes} {self.wording} {contract}"

    def _who(self) -> str:
        if self.recorded:
            return "recorded"
        if self.model is None:
            return "unbound"
        return self.model.label if self.model.meaningful else f"{self.model.label} (not meaningful)"

    async def ask(self, sample: Sample, answer: Answer) -> list[Verdict]:
        """Read the recorded replies, else ask the model. Raises RunnerError when the request fails."""
        if answer.recorded is not None:
            return [self.read(answer.recorded, {"model": "recorded"})]
        if self.model is None:
            return self.unscored(self.unbound)
        try:
            request = await self.prepared(sample, answer)
        except NotJudgeable as exc:
            return self.unscored(str(exc))
        reply = await self.model.chat(request)
        return [self.read(self._replies(reply), self._provenance(self.model, reply))]

    @abstractmethod
    async def prepared(self, sample: Sample, answer: Answer) -> ChatRequest:
        """What the model is sent for this answer. Raises NotJudgeable."""

    def chat_request(self, *messages: tuple[str, str | tuple[str | Audio, ...]]) -> ChatRequest:
        """These messages, after the system message, with the judge's settings."""
        how = self.asking
        system = (("system", how.system),) if how.system else ()
        return ChatRequest(
            messages=(*system, *messages),
            temperature=how.temperature,
            top_p=how.top_p,
            max_tokens=how.max_tokens,
            n=how.votes,
            seed=how.seed,
            choices=self.contract.choices,
        )

    def read(self, replies: Sequence[str], provenance: Mapping[str, JSON]) -> Verdict:
        """The verdict on raw replies; `provenance` goes into `detail`."""
        reading = self.contract.read(replies)
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
        wanted = self.asking.votes
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
