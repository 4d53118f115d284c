"""Judges that put an answer before a text model: rubric in, raw replies back, read by a contract.

The public scorers' settings are in `judges.llm_presets`; the reply contracts in `judges.contracts`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from evalkit.chat import ChatModel, ChatRequest
from evalkit.interfaces import Answer
from evalkit.records import JSON, Sample
from judges.asking import Asking, Fields, ModelJudge
from judges.contracts import Contract
from judges.manner import PLAIN, Manner
from judges.prompts import Rubric

_CONTROL = re.compile(
    r"<\|[\w.\- ]{1,40}\|>|</?s>|<(?:bos|eos)>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>"
)
_SHOWN = 5


class LLMJudge(ModelJudge):
    """One metric from the votes of a text model.

    Args:
        rubric: what the model is asked.
        fields: fills the rubric for one sample.
        reads: judge the response's text or the transcript of its speech.
        metric, contract, model, asking, manner: see `ModelJudge`.

    Recorded replies (`answer.recorded`) are parsed as they are and the model is not asked. Live replies
    are stripped first, as the public clients do. A reply that can't be read leaves the sample unscored,
    with the replies in `detail`.

    Marks of chat templates in an answer (``<|im_start|>``, ``[INST]``) are left as they are: altered, the judge
    would grade another answer than the model gave, and the fence stays whole whatever is in it. Some servers make
    control tokens of them all the same, which only they can help: `detail["control_tokens"]` names them, so that
    such verdicts can be found.
    """

    def __init__(
        self,
        *,
        metric: str,
        rubric: Rubric,
        fields: Fields,
        contract: Contract,
        model: ChatModel | None,
        asking: Asking | None = None,
        reads: Literal["text", "speech"] = "text",
        manner: Manner = PLAIN,
    ) -> None:
        asking = asking or Asking()
        system = rubric.system_for(model.label if model is not None else "")
        if system is not None:  # an official or a user's wording brings its own
            asking = replace(asking, system=system or None)
        super().__init__(metric=metric, contract=contract, model=model, asking=asking, manner=manner)
        self.reads = reads
        self.rubric = rubric
        self.fields = fields

    @property
    def wording(self) -> str:
        return self.rubric.label

    @property
    def roles(self) -> list[str]:
        return [self.rubric.role]

    async def prepared(self, sample: Sample, answer: Answer) -> ChatRequest:
        return self.request(sample, answer)

    def noticed(self, answer: Answer) -> Mapping[str, JSON]:
        """Marks of chat templates in the answer, each once."""
        found = dict.fromkeys(m.group() for m in _CONTROL.finditer(answer.text))
        return {"control_tokens": list(found)[:_SHOWN]} if found else {}

    def request(self, sample: Sample, answer: Answer) -> ChatRequest:
        """What the model is sent for this answer. Raises NotJudgeable."""
        return self.chat_request((self.rubric.role, self.rubric.render(**self.fields(sample, answer))))
