"""Yes/no and (a)/(b) answers by ordered chains of tests: VoiceBench sheet section 9 and Appendix C (BBH).

Each task has a chain of substring, prefix, suffix and "X ... Y" tests; the first that holds decides. The
chains are data, quirks included: a bare "b" gives 0, and "must be lying" at the end gives 1.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from evalkit.interfaces import Answer, Judge
from evalkit.records import JSON, Sample, Verdict
from judges.fill import RANDOM_LETTER, Fill, check_fill, draw, fill_label

CHAIN_OF_TASK = {
    "sports_understanding": "sports",
    "hyperbaton": "hyperbaton",
    "navigate": "navigate",
    "web_of_lies": "lies",
}
"""Which chain reads the answers of a task; the task's name is looked for in the sample id, in order."""

GOLD = {"yes": 1, "no": 0, "(a)": 0, "(b)": 1}
GAP = "(.+?)"

_BLANKED = str.maketrans(dict.fromkeys(':"-,.\uff1a', " "))
_LINE = re.compile(r'(in|==|re|startswith|endswith) (".*") -> ([01](?:\|1)?)')
_FOLD = re.compile(r"⟨([^|⟩]*)\|([^⟩]*)⟩")


class Check(NamedTuple):
    """One test of a chain: `op` applied to the response and `text` gives `value` when it holds."""

    op: str
    text: str
    value: int

    def holds(self, response: str) -> bool:
        """Does this test fire on a normalised response?"""
        if self.op == "in":
            return self.text in response
        if self.op == "==":
            return response == self.text
        if self.op == "startswith":
            return response.startswith(self.text)
        if self.op == "endswith":
            return response.endswith(self.text)
        return _gap_between(self.text, response)


def _gap_between(pattern: str, response: str) -> bool:
    """`re.search` of "left(.+?)right" in a text without newlines, in linear time.

    Such a match exists exactly when `right` stands at least one character after the first `left`.
    """
    left, _, right = pattern.partition(GAP)
    start = response.find(left)
    return start >= 0 and response.find(right, start + len(left) + 1) >= 0


def _unfold(line: str) -> list[Check]:
    """The one or two tests that a line of the data file stands for."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"not a BBH test: {line!r}")
    op, text, values = match[1], json.loads(match[2]), match[3]
    if "|" not in values:
        return [Check(op, text, int(values))]
    fold = _FOLD.search(text)
    if fold is None:
        raise ValueError(f"no ⟨x|y⟩ to unfold: {line!r}")
    return [Check(op, text.replace(fold[0], fold[i + 1]), i) for i in (0, 1)]


@cache
def chains() -> dict[str, tuple[Check, ...]]:
    """Every chain by name ("yn", "hyperbaton", "navigate", "lies", "sports"), tests in order."""
    out: dict[str, list[Check]] = {}
    current: list[Check] = []
    text = files("judges").joinpath("data", "bbh_chains.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("["):
            current = out.setdefault(line.strip("[]"), [])
        elif line:
            current.extend(_unfold(line))
    return {name: tuple(tests) for name, tests in out.items()}


def chain_of(name: str) -> str | None:
    """The chain for a task's name or for an id that contains one; None when it contains none."""
    return next((chain for task, chain in CHAIN_OF_TASK.items() if task in name), None)


def normalise(text: str) -> str:
    """A response as the tests expect it: lower case, without tags and most punctuation, single spaces."""
    text = text.lower()
    if text.endswith("<|user|>"):
        text = text.removesuffix("<|user|>").strip()
    if text.startswith(("<1>", "<2>", "<3>")):
        text = text[3:].strip()
    text = text.replace("<|turn_end|>", "").replace("**", " ")
    return " ".join(text.translate(_BLANKED).split())


def predict(text: str, chain: str) -> Check | None:
    """The test that decides a response, or None when none holds.

    Args:
        text: the response as the model gave it.
        chain: "hyperbaton", "navigate", "lies" or "sports"; all but the first try "yn" before.
    """
    response = normalise(text)
    tests = chains()[chain] if chain == "hyperbaton" else chains()["yn"] + chains()[chain]
    return next((test for test in tests if test.holds(response)), None)


class BBH(Judge):
    """Accuracy on the four spoken BBH tasks; `sample.target` is yes, no, (a) or (b) in any case.

    Args:
        metric: name of the metric.
        fill: what stands in for an answer no test reads: "seeded" draws 0 or 1 (the public scorer does,
            unseeded), "expected" scores the even chance, "none" scores wrong.
        seed: decides the draws.

    The task is the name contained in `sample.meta["bbh_task"]`, or else in `sample.id`.
    Detail of each verdict: "pred" (0, 1, or None when no test held), "random_fallback" (no test held),
    "chain", "test" (the test that decided), and "drawn" when an answer was drawn.
    """

    def __init__(self, metric: str = "acc", fill: Fill = "seeded", seed: int = 0) -> None:
        check_fill(fill)
        self.metrics = (metric,)
        self.fill = fill
        self.seed = seed

    @property
    def signature(self) -> str:
        return f"bbh-chains:{fill_label(self.fill, self.seed)}"

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        task = sample.meta.get("bbh_task", sample.id)
        chain = chain_of(str(task)) or chain_of(sample.id)
        if chain is None:
            known = ", ".join(CHAIN_OF_TASK)
            return self.unscored(f"unknown-task: {task!r:.60} names none of {known}; set meta['bbh_task'].")
        target = sample.target
        gold = GOLD.get(target.strip().lower()) if isinstance(target, str) else None
        test = predict(answer.text, chain)
        detail: dict[str, JSON] = {
            "pred": test.value if test else None,
            "random_fallback": test is None,
            "chain": chain,
            "test": f"{test.op} {test.text}" if test else None,
        }
        if gold is None:
            reason = f"bad-target: the reference must be yes, no, (a) or (b), but it is {target!r:.40}."
            return self.unscored(reason, **detail)
        if test:
            return [Verdict(self.metrics[0], float(test.value == gold), detail=detail)]
        return [self._filled(gold, sample.id, detail)]

    def _filled(self, gold: int, sample_id: str, detail: dict[str, JSON]) -> Verdict:
        if self.fill == "none":
            return Verdict(self.metrics[0], 0.0, detail=detail)
        value = 0.5
        if self.fill == "seeded":
            detail["drawn"] = draw((0, 1), self.seed, sample_id)
            value = float(detail["drawn"] == gold)
        return Verdict(self.metrics[0], value, detail=detail, touched=RANDOM_LETTER)
