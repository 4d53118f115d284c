"""Edit counts that can only be pooled, and the alignment they come from.

The alignment is unit-cost Levenshtein over tokens. Where several alignments cost the same, the trace-back
(from the end) prefers the diagonal (match or substitution), then an insertion, then a deletion: the rule of
compute-wer up to 0.2.4 (ASR sheet section 4.1), so that the split into substitutions, deletions and
insertions agrees with it too. The total never depends on ties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_CELLS = 16_000_000
"""Largest cost table (reference x hypothesis tokens) kept in memory: 64 MB."""


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Errors of one segment, or of many: `+` pools them, and a rate exists only of the pooled counts.

    Attributes:
        errors: insertions + deletions + substitutions.
        length: reference tokens.

    Raises:
        ValueError: the parts don't add up, are negative, or exceed the reference.
    """

    errors: int = 0
    length: int = 0
    insertions: int = 0
    deletions: int = 0
    substitutions: int = 0

    def __post_init__(self) -> None:
        parts = (self.insertions, self.deletions, self.substitutions)
        if min(self.length, *parts) < 0:
            raise ValueError(f"negative count in {self}")
        if sum(parts) != self.errors:
            raise ValueError(f"errors must be the sum of insertions, deletions and substitutions: {self}")
        if self.deletions + self.substitutions > self.length:
            raise ValueError(f"more deletions and substitutions than reference tokens: {self}")

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            self.errors + other.errors,
            self.length + other.length,
            self.insertions + other.insertions,
            self.deletions + other.deletions,
            self.substitutions + other.substitutions,
        )

    @property
    def rate(self) -> float | None:
        """errors / length, above 1 when insertions abound; None without reference tokens."""
        return self.errors / self.length if self.length else None

    def to_counts(self) -> dict[str, float]:
        """The counts by name, as `Verdict.counts` holds them."""
        return {
            "errors": self.errors,
            "length": self.length,
            "insertions": self.insertions,
            "deletions": self.deletions,
            "substitutions": self.substitutions,
        }


class Op(NamedTuple):
    """One alignment step; `ref` and `hyp` are token positions, None where that side has no token."""

    kind: Literal["equal", "substitution", "insertion", "deletion"]
    ref: int | None
    hyp: int | None


@dataclass(frozen=True, slots=True)
class Alignment:
    """`ops` from first to last token, and what they count up to."""

    counts: ErrorCounts
    ops: tuple[Op, ...]


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> Alignment:
    """Align two token sequences.

    An empty reference is not an error: every hypothesis token is an insertion and `counts.rate` is None.
    Above `MAX_CELLS` RapidFuzz aligns instead: the same total, ties may be split otherwise.
    """
    rows, columns = len(reference), len(hypothesis)
    # Equal tails may be cut off: the diagonal is optimal there and wins ties. Equal heads may not.
    while rows and columns and reference[rows - 1] == hypothesis[columns - 1]:
        rows, columns = rows - 1, columns - 1
    ids: dict[str, int] = {}
    ref = [ids.setdefault(token, len(ids)) for token in reference[:rows]]
    hyp = [ids.setdefault(token, len(ids)) for token in hypothesis[:columns]]
    ops = _align_large(ref, hyp) if rows * columns > MAX_CELLS else _align(ref, hyp)
    tail = len(reference) - rows
    ops.extend(Op("equal", rows + k, columns + k) for k in range(tail))
    return Alignment(_count(ops, len(reference)), tuple(ops))


def _count(ops: Sequence[Op], length: int) -> ErrorCounts:
    kinds = [op.kind for op in ops]
    ins, dels, subs = (kinds.count(k) for k in ("insertion", "deletion", "substitution"))
    return ErrorCounts(ins + dels + subs, length, ins, dels, subs)


def _align(ref: list[int], hyp: list[int]) -> list[Op]:
    if not ref:
        return [Op("insertion", None, j) for j in range(len(hyp))]
    if not hyp:
        return [Op("deletion", i, None) for i in range(len(ref))]
    return _trace(_cost_table(ref, hyp), ref, hyp)


def _cost_table(ref: list[int], hyp: list[int]) -> NDArray[np.int32]:
    """Levenshtein table [len(ref) + 1, len(hyp) + 1], filled row by row."""
    import numpy as np

    steps = np.arange(len(hyp) + 1, dtype=np.int32)
    table = np.empty((len(ref) + 1, len(hyp) + 1), dtype=np.int32)
    table[0] = steps
    tokens = np.asarray(hyp, dtype=np.int64)
    for i, token in enumerate(ref, 1):
        above, row = table[i - 1], table[i]
        row[0] = i
        np.minimum(above[:-1] + (tokens != token), above[1:] + 1, out=row[1:])
        # Insertions run along the row: row[j] = min over k <= j of row[k] + (j - k).
        row -= steps
        np.minimum.accumulate(row, out=row)
        row += steps
    return table


def _trace(table: NDArray[np.int32], ref: list[int], hyp: list[int]) -> list[Op]:
    ops: list[Op] = []
    i, j = len(ref), len(hyp)
    while i or j:
        cost = table[i, j]
        same = bool(i and j) and ref[i - 1] == hyp[j - 1]
        if i and j and table[i - 1, j - 1] + (not same) == cost:
            i, j = i - 1, j - 1
            ops.append(Op("equal" if same else "substitution", i, j))
        elif j and table[i, j - 1] + 1 == cost:
            j -= 1
            ops.append(Op("insertion", None, j))
        else:
            i -= 1
            ops.append(Op("deletion", i, None))
    ops.reverse()
    return ops


def _align_large(ref: list[int], hyp: list[int]) -> list[Op]:
    from rapidfuzz.distance import Levenshtein

    ops: list[Op] = []
    for code in Levenshtein.opcodes(ref, hyp):
        refs, hyps = range(code.src_start, code.src_end), range(code.dest_start, code.dest_end)
        if code.tag == "delete":
            ops.extend(Op("deletion", i, None) for i in refs)
        elif code.tag == "insert":
            ops.extend(Op("insertion", None, j) for j in hyps)
        else:
            kind: Literal["equal", "substitution"] = "equal" if code.tag == "equal" else "substitution"
            ops.extend(Op(kind, i, j) for i, j in zip(refs, hyps, strict=True))
    return ops
