"""The IFEval judge: one verdict per sample whose counts pool into all four published rates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version

from evalkit.interfaces import Answer, Judge
from evalkit.records import JSON, Sample, Verdict
from judges.ifeval.arguments import Filled, fill, seeded
from judges.ifeval.errors import Unscorable
from judges.ifeval.registry import CHECKS, require
from judges.ifeval.scoring import follow, pool_final, strip_role_tags
from judges.ifeval.texttools import LANGDETECT_SEED


class IFEval(Judge):
    """Which of a sample's verifiable instructions the response follows (VoiceBench sheet, section 8).

    Reads `sample.meta["instruction_id_list"]` (ids) and `sample.meta["kwargs"]` (one mapping per id whose
    empty fields count as missing); either may also be JSON text. Gives the metric "final": the mean of the
    four rates for this sample alone. For a corpus sum the `counts` and call `pool_final`, as the published
    number is built.

    The public scorer looks responses up by prompt, so that two records with one prompt share the last
    response. That is a property of its aggregation and not reproduced: each sample is judged by its own
    response.

    Args:
        strip_tags: remove role tags first (protocol "official": True; "kimi-evalkit": False).
        seed: for the arguments that the public scorer draws unseeded; such a verdict has
            ``touched="random_argument"``.
    """

    metrics = ("final",)
    heavy = True
    """First use loads language profiles and may fetch the sentence model: never in the event loop."""

    def __init__(self, strip_tags: bool = True, seed: int = 0) -> None:
        self.strip_tags = strip_tags
        self.seed = seed

    @cached_property
    def signature(self) -> str:
        """Variant, seeds and the versions of the packages that split text."""
        tags = "strip-tags" if self.strip_tags else "raw"
        packages = f"nltk@{_version('nltk')},langdetect@{_version('langdetect')}#{LANGDETECT_SEED}"
        return f"ifeval:{tags},seed={self.seed},{packages}"

    def score(self, sample: Sample, answer: Answer) -> list[Verdict]:
        """One verdict; unscored with a reason when the row, a package or a pattern does not allow one."""
        response = strip_role_tags(answer.text) if self.strip_tags else answer.text
        try:
            instructions = _instructions(sample)
            filled = [
                self._fill(sample, position, name, given)
                for position, (name, given) in enumerate(instructions)
            ]
            ids = [name for name, _ in instructions]
            checks = [_check(name, args) for name, args in zip(ids, filled, strict=True)]
            followed = follow(response, checks)
        except Unscorable as exc:
            return self.unscored(exc.reason)
        detail: dict[str, JSON] = {
            "instructions": ids,
            "strict": list(followed.strict),
            "loose": list(followed.loose),
            "strict_prompt": followed.strict_prompt,
            "loose_prompt": followed.loose_prompt,
        }
        drawn = [{name: args.values[name] for name in args.drawn} for args in filled]
        if touched := any(drawn):
            detail["drawn"] = drawn
        counts = followed.counts
        return [
            Verdict(
                "final",
                pool_final(counts, 1)["final"],
                counts=counts,
                detail=detail,
                touched="random_argument" if touched else None,
            )
        ]

    def _fill(self, sample: Sample, position: int, instruction: str, given: Mapping[str, JSON]) -> Filled:
        """Complete one instruction's arguments and load what its check needs. Raises `Unscorable`."""
        if instruction not in CHECKS:
            raise Unscorable(
                "unknown-instruction",
                f"{instruction!r} is none of the {len(CHECKS)} IFEval instructions; mend the row",
            )
        filled = fill(instruction, given, seeded(self.seed, sample.id, position, instruction))
        require(instruction, filled.values)
        return filled


def _check(instruction: str, filled: Filled) -> Callable[[str], bool]:
    check = CHECKS[instruction]
    return lambda response: check(response, filled.values)


def _instructions(sample: Sample) -> list[tuple[str, Mapping[str, JSON]]]:
    """The ids of a sample's instructions, each with its row of arguments. Raises `Unscorable`."""
    ids = _decoded(sample, "instruction_id_list")
    rows = _decoded(sample, "kwargs")
    if not ids or not all(isinstance(name, str) for name in ids):
        raise Unscorable("bad-row", "instruction_id_list holds no list of instruction ids; mend the row")
    if len(rows) < len(ids):
        raise Unscorable("bad-row", f"{len(ids)} instructions but {len(rows)} kwargs entries; mend the row")
    return [(name, _row(row)) for name, row in zip(ids, rows, strict=False)]


def _decoded(sample: Sample, name: str) -> list[JSON]:
    value = _json(sample.meta.get(name), name)
    if not isinstance(value, list | tuple):
        raise Unscorable("bad-row", f"meta[{name!r}] is missing or not a list; mend the row or the task")
    return list(value)


def _row(value: JSON) -> Mapping[str, JSON]:
    row = _json(value, "kwargs")
    if row is None:
        return {}
    if not isinstance(row, Mapping):
        raise Unscorable("bad-row", "an entry of kwargs is not a mapping; mend the row or the task")
    return row


def _json(value: JSON, name: str) -> JSON:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as exc:
        raise Unscorable("bad-row", f"{name} is text but not JSON; mend the row or the task") from exc


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
