"""How long answers took and what they used: percentiles and sums over a task's answers, errors left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STAGE = "generate"
"""The stage every runner knows: from asking to the whole answer."""


@dataclass(frozen=True)
class Stage:
    """Seconds of one stage over `n` answers: median, 95th percentile, mean, longest."""

    name: str
    n: int
    p50: float
    p95: float
    mean: float
    longest: float


@dataclass(frozen=True)
class TaskTiming:
    """What a task's answers took.

    Attributes:
        n: answers.
        cached: of them taken from the cache of earlier answers; their seconds are those of the first time.
        stages: the whole answer first, then what the runner knows beside it.
        sent, received: tokens as the endpoint counted them; None where it counted none.
        counted: answers with such counts.
        heard, spoken: seconds of audio sent, and generated.
        given: the answers came from a file of predictions, so nothing is known of the time they took.
    """

    n: int
    cached: int
    stages: tuple[Stage, ...]
    sent: int | None
    received: int | None
    counted: int
    heard: float
    spoken: float
    given: bool = False

    @property
    def told(self) -> bool:
        """True where anything is known of what the answers took."""
        return bool(self.stages or self.counted or self.heard or self.spoken)

    @property
    def whole(self) -> Stage | None:
        return next((s for s in self.stages if s.name == STAGE), None)


@dataclass
class Stopwatch:
    """Collects from response lines, one after the other; `given`: answers from a file, which have no time."""

    given: bool = False
    n: int = 0
    cached: int = 0
    seconds: dict[str, list[float]] = field(default_factory=dict)
    sent: int = 0
    received: int = 0
    counted: int = 0
    heard: float = 0.0
    spoken: float = 0.0

    def add(self, line: Mapping[str, Any]) -> None:
        """Count one line of responses.jsonl in; an error has no answer and isn't counted."""
        if line.get("error"):
            return
        self.n += 1
        self.cached += (line.get("meta") or {}).get("cached") is True
        for name, value in ({} if self.given else line.get("timing") or {}).items():
            if _number(value):
                self.seconds.setdefault(str(name), []).append(float(value))
        usage = line.get("usage") or {}
        told = [
            _tokens(usage, "prompt_tokens", "input_tokens"),
            _tokens(usage, "completion_tokens", "output_tokens"),
        ]
        if told != [None, None]:
            self.counted += 1
            self.sent += told[0] or 0
            self.received += told[1] or 0
        self.heard += sum(s["seconds"] for s in line.get("sent") or () if _number(s.get("seconds")))
        audio = line.get("audio") or {}
        self.spoken += audio["seconds"] if _number(audio.get("seconds")) else 0.0

    def done(self) -> TaskTiming:
        """The figures; percentiles are interpolated between neighbours, as numpy does by default."""
        import numpy as np

        stages = []
        for name, values in sorted(self.seconds.items(), key=lambda s: (s[0] != STAGE, s[0])):
            p50, p95 = (float(x) for x in np.percentile(values, (50, 95)))
            stages.append(Stage(name, len(values), p50, p95, sum(values) / len(values), max(values)))
        sent, received = (self.sent, self.received) if self.counted else (None, None)
        return TaskTiming(
            *(self.n, self.cached, tuple(stages), sent, received),
            *(self.counted, self.heard, self.spoken, self.given),
        )


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value and value >= 0


def _tokens(usage: Mapping[str, Any], *names: str) -> int | None:
    return next((int(usage[n]) for n in names if _number(usage.get(n))), None)


def seconds_text(value: float) -> str:
    """ "31 ms", "0.42 s", "12.3 s", "412 s": two or three figures."""
    if value < 0.0995:
        return f"{1000 * value:.0f} ms" if value >= 0.0005 or value == 0 else "< 1 ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s" if value < 100 else f"{value:,.0f} s"
