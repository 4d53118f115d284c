"""The judges of function calling: the public rule, and our stricter one.

Source: speech function calling sheet, sections 4 to 7.
"""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.interfaces import Answer, Judge
from evalkit.records import JSON, Sample, Verdict
from judges.calls import acebench, bfcl, strict
from judges.calls.errors import (
    CHECKER_CRASH,
    CRASHES,
    DECODER_FAILED,
    Outcome,
    Wrong,
    cause,
)
from judges.calls.native import decode_native
from judges.calls.parsing import Call, Decoded, decode
from judges.calls.schemas import Schema, Style, unwrapped
from judges.calls.storable import shown, storable

PIN = "8ba984b6"
REASONS = 4


def calls_in(answer: Answer, names: bfcl.Names = "exact") -> tuple[Decoded, bool]:
    """The calls of a response, and whether they are the endpoint's own: then its text doesn't count.

    Names that had to be sent in another spelling come back as the checker compares them.
    """
    response = answer.response
    if response.tool_calls:
        sent = response.meta.get("tool_names")
        if names == "underscore" and isinstance(sent, dict):
            sent = {k: str(own).replace(".", "_") for k, own in sent.items()}
        return decode_native(response.tool_calls, sent), True
    return decode(answer.text), False


def public_outcome(
    decoded: Decoded,
    target: JSON,
    schemas: Sequence[Schema],
    style: Style,
    category: bfcl.Category,
    names: bfcl.Names = "exact",
) -> Outcome:
    """What the public scorer says of decoded calls. Raises `CRASHES` where it would crash."""
    if decoded.calls is None:
        return Outcome.of(Wrong(DECODER_FAILED, decoded.failure))
    if style == "bfcl":
        return bfcl.check(decoded.calls, target, schemas, category, names)
    return acebench.check(decoded.calls, target, schemas)


class CallChecker(Judge):
    """Metric "acc": 1 when the predicted calls pass the public rule checker of the sample's style.

    Args:
        style: form of the answers in `sample.target`, and with it the checker.
        category: "parallel" or "multiple", as the public driver passes it on (BFCL style only).
        names: "underscore" compares with the function's name after every dot was made an underscore, as the
            public scorer does for models called gpt-4o (BFCL style only; sheet section 5.2).

    Where the public scorer would crash, the verdict is 0, marked ``touched="checker_crash"``. Unscored:
    "no-answer" and "no-tools" (the sample lacks what calls are checked against).

    Detail: "error_type" (public code), "error_reasons", "calls" as decoded, "expected", "dropped" (tagged calls
    that were no JSON), "native": True for an endpoint's own tool calls.
    """

    metrics = ("acc",)

    def __init__(
        self, style: Style, category: bfcl.Category = "multiple", names: bfcl.Names = "exact"
    ) -> None:
        self.style = style
        self.category = category
        self.names = names

    @property
    def signature(self) -> str:
        options = f":{self.category},names={self.names}" if self.style == "bfcl" else ""
        return f"calls-{self.style}@{PIN}{options}"

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        if why := _lacks(sample):
            return self.unscored(why)
        decoded, native = calls_in(answer, self.names)
        touched = None
        try:
            schemas = unwrapped(sample.tools)
            outcome = public_outcome(decoded, sample.target, schemas, self.style, self.category, self.names)
        except CRASHES as exc:
            outcome, touched = crashed(exc), CHECKER_CRASH
        detail = _detail(outcome, decoded.calls, native)
        detail["expected"] = storable(sample.target)
        if decoded.dropped:
            detail["dropped"] = decoded.dropped
        return [Verdict("acc", float(outcome.valid), detail=detail, touched=touched)]


class StrictCallChecker(Judge):
    """Metric "strict": 1 when every answer has a call of its own that fits by `judges.calls.strict`.

    It never crashes and drops nothing: what can't be read or compared is wrong. Unscored as `CallChecker`.
    Detail: "error_type" (public codes and "strict:..."), "error_reasons", "calls", "native".
    """

    metrics = ("strict",)

    def __init__(self, style: Style, names: bfcl.Names = "exact") -> None:
        self.style = style
        self.names = names

    @property
    def signature(self) -> str:
        return f"calls-strict-{self.style}" + (f":names={self.names}" if self.style == "bfcl" else "")

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        if why := _lacks(sample):
            return self.unscored(why)
        decoded, native = calls_in(answer, self.names)
        try:
            outcome = strict.check(decoded, sample.target, unwrapped(sample.tools), self.style, self.names)
        except CRASHES as exc:
            outcome = crashed(exc)
        return [Verdict("strict", float(outcome.valid), detail=_detail(outcome, decoded.calls, native))]


def crashed(exc: Exception) -> Outcome:
    """The outcome of a record at which the public scorer stops."""
    return Outcome(False, CHECKER_CRASH, (cause(exc),))


def _lacks(sample: Sample) -> str:
    if not isinstance(sample.target, list | dict):
        return "no-answer: the sample holds no calls to compare with; mend ground_truth"
    return "" if sample.tools else "no-tools: the sample names no tools; mend function"


def _detail(outcome: Outcome, calls: Sequence[Call] | None, native: bool) -> dict[str, JSON]:
    detail: dict[str, JSON] = {
        "error_type": outcome.error_type,
        "error_reasons": [storable(r) for r in outcome.reasons[:REASONS]],
        "calls": shown(calls),
    }
    return detail | ({"native": True} if native else {})
