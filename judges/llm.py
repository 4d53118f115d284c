"""Judges that put an answer before a text model: rubric in, raw replies back, read by a contract.

The public scorers' settings are in `judges.llm_presets`; the reply contracts in `judges.contracts`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from evalkit.interfaces import Answer, ChatModel, ChatReply, ChatRequest, Judge, RunnerError
from evalkit.records import JSON, Sample, Verdict, digest_of
from judges.contracts import Contract
from judges.prompts import Rubric

REPLY_LIMIT = 8000
"""Characters of a raw reply that go on record; of a longer one the middle is cut out."""

UNBOUND = "judge-unbound: no judge bound; pass --judge openai/MODEL"

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


class LLMJudge(Judge):
    """One metric from the votes of a text model.

    Args:
        metric: name of the metric.
        rubric: what the model is asked.
        fields: fills the rubric for one sample.
        contract: reads the replies.
        model: whom to ask; None leaves samples unscored, except where replies were recorded.
        votes: independent replies per answer.
        temperature, top_p, max_tokens: decoding of the judge.
        system: system message, or None for none.
        reads: judge the response's text or the transcript of its speech.
        recorded: replies recorded earlier are what this judge reads, and its signature says so.

    Recorded replies (`answer.recorded`) are parsed as they are and the model is not asked. Live replies
    are stripped first, as the public clients do. A reply that can't be read leaves the sample unscored,
    with the replies in `detail`.
    """

    asks_model = True

    def __init__(
        self,
        *,
        metric: str,
        rubric: Rubric,
        fields: Fields,
        contract: Contract,
        model: ChatModel | None,
        votes: int = 1,
        temperature: float = 0.0,
        top_p: float | None = None,
        max_tokens: int | None = None,
        system: str | None = None,
        reads: Literal["text", "speech"] = "text",
        recorded: bool = False,
    ) -> None:
        if votes < 1:
            raise ValueError("a judge gives at least one vote")
        self.metrics = (metric,)
        self.reads = reads
        self.rubric = rubric
        self.fields = fields
        self.contract = contract
        self.model = model
        self.votes = votes
        self.temperature = temperature
        self.top_p = top_p
        self.max_tokens = max_tokens
        self.system = system
        self.recorded = recorded

    @property
    def signature(self) -> str:
        """Who judged, votes, rubric by hash, contract and a digest of the other settings.

        For example ``gpt-4o-mini x3 voicebench_open:own@1b7c9f0e official-open@5d21``.
        """
        settings = [self.temperature, self.top_p, self.max_tokens, self.system, self.reads]
        contract = f"{self.contract.name}@{digest_of(settings)[:4]}"
        return f"{self._who()} x{self.votes} {self.rubric.label} {contract}"

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
            return self.unscored(UNBOUND)
        try:
            request = self.request(sample, answer)
        except NotJudgeable as exc:
            return self.unscored(str(exc))
        reply = await self.model.chat(request)
        return [self.read(self._replies(reply), self._provenance(self.model, reply))]

    def request(self, sample: Sample, answer: Answer) -> ChatRequest:
        """What the model is sent for this answer. Raises NotJudgeable."""
        text = self.rubric.render(**self.fields(sample, answer))
        system = (("system", self.system),) if self.system else ()
        return ChatRequest(
            messages=(*system, (self.rubric.role, text)),
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            n=self.votes,
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
        if len(reply.texts) < self.votes:
            message = f"the judge gave {len(reply.texts)} of {self.votes} replies asked for"
            raise RunnerError("bad-reply", message, retryable=True)
        return tuple(t.strip() for t in reply.texts[: self.votes])

    @staticmethod
    def _provenance(model: ChatModel, reply: ChatReply) -> dict[str, JSON]:
        out: dict[str, JSON] = {"model": reply.model or model.label}
        if not model.meaningful:
            out["meaningful"] = False
        if reply.usage:
            out["usage"] = dict(reply.usage)
        return out
