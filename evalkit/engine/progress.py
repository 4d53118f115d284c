"""Progress: one tqdm bar per stage on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

STAGES = ("generate", "transcribe", "judge")
WORDS = {"generate": "errors", "transcribe": "errors", "judge": "with unscored"}
LINE_EVERY = 15.0


@dataclass
class Count:
    """How far a stage is: `done` of the `total` that came so far, of which `failed` went wrong.

    `planned` is how much will come in all, where that is known beforehand.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    planned: int = 0

    @property
    def goal(self) -> int:
        """How much there is to do: what has come, or what is known to come."""
        return max(self.total, self.planned)


class Progress:
    """Counts what each stage has done and shows it on stderr.

    Args:
        mode: "bars", "lines", "none", or "auto" (bars on a terminal, lines elsewhere).
    """

    def __init__(self, mode: str = "auto") -> None:
        if mode == "auto":
            mode = "bars" if sys.stderr.isatty() else "lines"
        self.mode = mode
        self.counts = {stage: Count() for stage in STAGES}
        self._bars: dict[str, Any] = {}
        self._last = time.monotonic()

    def expect(self, stage: str, n: int = 1) -> None:
        """`n` more things will come to this stage."""
        self.counts[stage].total += n

    def plan(self, stage: str, n: int) -> None:
        """`n` things in all (or, negative, fewer than planned) will come to this stage."""
        self.counts[stage].planned += n

    def step(self, stage: str, *, failed: bool = False) -> None:
        """One thing left this stage."""
        count = self.counts[stage]
        count.done += 1
        count.failed += failed
        if self.mode == "bars":
            self._bar(stage, failed)
        elif self.mode == "lines" and time.monotonic() - self._last > LINE_EVERY:
            self._line()

    def _bar(self, stage: str, failed: bool) -> None:
        count = self.counts[stage]
        bar = self._bars.get(stage)
        if bar is None:
            from tqdm import tqdm

            bar = self._bars[stage] = tqdm(
                desc=f"{stage:<10}",
                total=count.goal,
                position=STAGES.index(stage),
                unit="",
                dynamic_ncols=True,
                mininterval=0.2,
                leave=True,
                postfix=f"{WORDS[stage]} 0",
            )
        bar.total = count.goal
        if failed:
            bar.set_postfix_str(f"{WORDS[stage]} {count.failed}", refresh=False)
        bar.update(1)

    def _line(self) -> None:
        self._last = time.monotonic()
        parts = [
            f"{stage} {c.done:,}/{c.goal:,}" + (f" ({WORDS[stage]} {c.failed})" if c.failed else "")
            for stage, c in self.counts.items()
            if c.total
        ]
        print("  " + " · ".join(parts), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        for stage, bar in self._bars.items():
            bar.total = self.counts[stage].total  # what really came
            bar.refresh()
        for bar in self._bars.values():
            bar.close()
        self._bars.clear()
