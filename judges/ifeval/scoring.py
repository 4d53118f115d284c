"""From a response and its checks to verdicts, and from segment statistics to the four IFEval rates.

Plain functions for the rules of the VoiceBench sheet, section 8 (1, 4 and 5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

RATES = ("strict-prompt", "strict-instruction", "loose-prompt", "loose-instruction")


@dataclass(frozen=True, slots=True)
class Followed:
    """Which instructions of one sample were followed; one entry per instruction, in order."""

    strict: tuple[bool, ...]
    loose: tuple[bool, ...]

    @property
    def strict_prompt(self) -> bool:
        """All instructions followed strictly."""
        return all(self.strict)

    @property
    def loose_prompt(self) -> bool:
        """All instructions followed loosely."""
        return all(self.loose)

    @property
    def counts(self) -> dict[str, float]:
        """Segment statistics: sums of these over samples are what `pool_final` takes."""
        return {
            "strict_prompt": int(self.strict_prompt),
            "loose_prompt": int(self.loose_prompt),
            "strict_followed": sum(self.strict),
            "loose_followed": sum(self.loose),
            "instructions": len(self.strict),
        }


def strip_role_tags(response: str) -> str:
    """The official cleaning: no ``<1>``, ``<2>`` or ``<3>`` in front and no ``<|user|>`` at the end.

    Outer blanks go only together with a tag.
    """
    if response.startswith(("<1>", "<2>", "<3>")):
        response = response[3:].strip()
    if response.endswith("<|user|>"):
        response = response.removesuffix("<|user|>").strip()
    return response


def variants(response: str) -> list[str]:
    """The distinct forms of a response that loose scoring tries, the response itself first.

    It; without its first line; without its last; without both (these stripped); each without asterisks.
    """
    lines = response.split("\n")
    cut = (response, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])))
    return list(dict.fromkeys((*cut, *(text.replace("*", "") for text in cut))))


def follow(response: str, checks: Iterable[Callable[[str], bool]]) -> Followed:
    """Run each check strictly and loosely. A blank text never follows anything."""
    forms = [text for text in variants(response) if text.strip()]
    strict, loose = [], []
    for check in checks:
        strict.append(bool(response.strip()) and check(response))
        loose.append(strict[-1] or any(check(text) for text in forms if text != response))
    return Followed(tuple(strict), tuple(loose))


def pool_final(counts: Mapping[str, float], n: float) -> dict[str, float]:
    """The four rates and ``final``, their plain mean, as fractions from 0 to 1.

    Args:
        counts: sums of `Followed.counts` over the scored samples.
        n: number of scored samples.

    Raises:
        ValueError: nothing was scored.
    """
    instructions = counts["instructions"]
    if n <= 0 or instructions <= 0:
        raise ValueError("IFEval rates need at least one scored sample with an instruction")
    rates = {
        "strict-prompt": counts["strict_prompt"] / n,
        "strict-instruction": counts["strict_followed"] / instructions,
        "loose-prompt": counts["loose_prompt"] / n,
        "loose-instruction": counts["loose_followed"] / instructions,
    }
    return {**rates, "final": sum(rates[name] for name in RATES) / len(RATES)}
