"""An alignment in few words, for the record and the report."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from evalkit.records import JSON
from judges.wer.counts import Op

MAX_CHARS, MAX_RUNS = 4_000, 600
"""What a record keeps of one utterance at most: characters of both texts, and runs."""

_LETTERS = {"equal": "=", "substitution": "S", "deletion": "D", "insertion": "I"}


def alignment_detail(
    reference: Sequence[str], hypothesis: Sequence[str], ops: Sequence[Op]
) -> dict[str, JSON]:
    """Both token sequences and how they are aligned.

    Returns:
        "reference", "hypothesis": the tokens, joined by blanks. "alignment": runs from first to last,
        ["=", n] for n equal tokens, ["S", token, token] for a substitution, ["D", tokens] for deleted and
        ["I", tokens] for inserted ones. "cut" says how much was left out of all three, where it was too much.
    """
    kept = _fitting(reference, hypothesis, ops)
    shown = ops[:kept]
    refs = [reference[op.ref] for op in shown if op.ref is not None]
    hyps = [hypothesis[op.hyp] for op in shown if op.hyp is not None]
    detail: dict[str, JSON] = {
        "reference": " ".join(refs),
        "hypothesis": " ".join(hyps),
        "alignment": _runs(reference, hypothesis, shown),
    }
    if kept < len(ops):
        more = (len(reference) - len(refs), len(hypothesis) - len(hyps))
        detail["cut"] = f"{more[0]} more reference tokens and {more[1]} more hypothesis tokens"
    return detail


def _fitting(reference: Sequence[str], hypothesis: Sequence[str], ops: Sequence[Op]) -> int:
    """How many steps from the start fit into a record."""
    chars = runs = 0
    before = ""
    for kept, op in enumerate(ops):
        chars += sum(len(t) + 1 for t in _texts(reference, hypothesis, op))
        runs += op.kind == "substitution" or op.kind != before
        before = op.kind
        if chars > MAX_CHARS or runs > MAX_RUNS:
            return kept
    return len(ops)


def _texts(reference: Sequence[str], hypothesis: Sequence[str], op: Op) -> list[str]:
    found = [reference[op.ref]] if op.ref is not None else []
    return found if op.hyp is None else [*found, hypothesis[op.hyp]]


def _runs(reference: Sequence[str], hypothesis: Sequence[str], ops: Sequence[Op]) -> list[JSON]:
    out: list[JSON] = []
    for kind, group in groupby(ops, key=lambda op: op.kind):
        steps = list(group)
        if kind == "equal":
            out.append(["=", len(steps)])
        elif kind == "substitution":
            out += [["S", *_texts(reference, hypothesis, op)] for op in steps]
        else:
            out.append([_LETTERS[kind], " ".join(_texts(reference, hypothesis, op)[0] for op in steps)])
    return out
