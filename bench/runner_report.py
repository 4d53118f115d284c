"""What `bench.runner` measured, as text, as Markdown in RESULTS.md, and beside its aims."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.runner_device import GIB
from bench.runner_sizes import PARAMETERS_8B
from bench.runner_timing import Row

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "RESULTS.md"
NUMBERS = (
    *("samples/s", "text tok/s", "speech tok/s", "x batch 1", "decode x", "step ms", "bound ms", "x bound"),
    *("encode ms", "prefill ms", "peak GiB"),
)
COLUMNS = ("mode", "batch", "variant", *NUMBERS)
SAID = {
    "plain": "default",
    "eager": "no graphs",
    "compiled": "compiled",
    "invariant": "invariant",
}


@dataclass
class Measured:
    """A run of the bench.

    Attributes:
        device: its name; `on_gpu`: is it one?
        size: what was built; `parameters`: how many it has.
        facts: what else was found, name to value, in the order of telling.
        vllm: rows of vLLM by batch size; `vllm_problem`: why some or all are missing.
    """

    device: str
    on_gpu: bool
    size: str
    dtype: str
    parameters: int
    facts: dict[str, str]
    bandwidth: dict[str, float]
    rows: list[Row] = field(default_factory=list)
    vllm: dict[int, dict[str, float]] = field(default_factory=dict)
    vllm_problem: str = ""

    def base(self, row: Row) -> Row | None:
        """Our own batch 1 of the same mode, as by default."""
        return next((r for r in self.rows if (r.mode, r.batch, r.variant) == (row.mode, 1, "plain")), None)

    @property
    def title(self) -> str:
        """The heading of its section."""
        return f"{self.device}: {self.size}, {self.dtype}"

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        return {
            "device": self.device,
            "gpu": self.on_gpu,
            "size": self.size,
            "dtype": self.dtype,
            "parameters": self.parameters,
            "facts": self.facts,
            "bandwidth": self.bandwidth,
            "rows": [r.as_json() for r in self.rows],
            "vllm": list(self.vllm.values()),
            "vllm_problem": self.vllm_problem,
            "aims": aims(self),
        }


def cells(measured: Measured, row: Row) -> list[str]:
    """A line of the table."""
    head = [row.mode.upper(), str(row.batch), SAID[row.variant]]
    base = measured.base(row)
    peak = f"{row.allocated / GIB:.2f}" + (
        f" / {row.reserved / GIB:.2f}" if row.reserved != row.allocated else ""
    )
    speech = _number(row.speech) if row.mode == "s2m" else "-"
    return [
        *head,
        *(_number(row.samples), _number(row.text), speech),
        *(_ratio(row.samples, base and base.samples), _ratio(row.decode, base and base.decode)),
        *(_number(row.step), _number(row.bound), _ratio(row.step, row.bound)),
        *(_number(row.encode), _number(row.prefill), peak),
    ]


def line(measured: Measured, row: Row) -> str:
    """A line of progress."""
    named = [f"{n} {v}" for n, v in zip(NUMBERS, cells(measured, row)[3:], strict=True) if v != "-"]
    told = ", ".join(named)
    if row.problem:
        told = row.problem + (f" ({told})" if row.step else "")
    start = f"{row.mode.upper()} batch {row.batch:>2} {SAID[row.variant]}: "
    if _sets_up(measured, row):
        told += f"; first steps {_number(row.first)} and {_number(row.second)} ms"
    return start + told


def table(measured: Measured) -> str:
    """All rows in Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---|---:|---|" + "---:|" * len(NUMBERS)]
    for row in measured.rows:
        if row.problem and row.step is None:
            filled = [*cells(measured, row)[:3], row.problem, *[""] * (len(NUMBERS) - 1)]
        else:
            filled = cells(measured, row)
        lines.append("| " + " | ".join(filled) + " |")
    return "\n".join(lines)


def aims(measured: Measured) -> list[str]:
    """What issue 6 asks of the 8B on a GPU, and whether it was met; nothing fails on them."""
    plain = {(r.mode, r.batch): r for r in measured.rows if r.variant == "plain"}
    told = []
    one, many = plain.get(("s2m", 1)), plain.get(("s2m", 32))
    ratio = many.decode / one.decode if one and many and one.decode and many.decode else None
    told.append(_aim(measured, "S2M decoding at batch 32, of batch 1:", ratio, least=10))
    for mode in ("s2t", "s2m"):
        row = plain.get((mode, 1))
        ratio = row.step / row.bound if row and row.step and row.bound else None
        told.append(
            _aim(measured, f"{mode.upper()} step at batch 1, of the bandwidth bound:", ratio, most=1.5)
        )
    for batch, theirs in sorted(measured.vllm.items()):
        ours = plain.get(("s2t", batch))
        ratio = theirs["text"] / ours.text if ours and ours.text else None
        told.append(_aim(measured, f"S2T tokens/s at batch {batch}, vLLM's of ours:", ratio, most=1.3))
    if not measured.vllm:
        told.append(
            "S2T tokens/s, vLLM's of ours: at most 1.3 x: not measured"
            + (f" ({measured.vllm_problem})" if measured.vllm_problem else "")
        )
    return told


def warning(measured: Measured) -> str:
    """What these numbers don't show; "" for the 8B on a GPU."""
    if not measured.on_gpu and measured.parameters < 10_000_000:
        return "no GPU: tiny sizes on the CPU; these numbers say nothing of the 8B"
    if not measured.on_gpu:
        return f"no GPU: {measured.size} on the CPU; these numbers say nothing of the 8B on a GPU"
    if measured.parameters != PARAMETERS_8B:
        return f"sizes are those of {measured.size}; these numbers say nothing of the 8B"
    return ""


def section(measured: Measured) -> str:
    """Its part of RESULTS.md."""
    parts = [f"## {measured.title}"]
    if told := warning(measured):
        parts.append(f"**{told[0].upper()}{told[1:]}.**")
    parts.append("\n".join(f"- {name}: {value}" for name, value in measured.facts.items()))
    parts.append(table(measured))
    captured = [
        f"{r.mode.upper()} {r.batch} ({SAID[r.variant]}): {_number(r.first)} and {_number(r.second)} ms"
        for r in measured.rows
        if _sets_up(measured, r)
    ]
    if captured:
        parts.append(
            "First steps, which set up, compile or capture, and are in no other number: "
            + "; ".join(captured)
            + "."
        )
    for row in measured.rows:
        if row.problem and row.step is not None:
            parts.append(f"{row.mode.upper()} batch {row.batch} {SAID[row.variant]}: {row.problem}.")
    if measured.vllm:
        lines = ["| vLLM, S2T, batch | samples/s | text tok/s |", "|---:|---:|---:|"]
        lines += [
            f"| {b} | {_number(r['samples'])} | {_number(r['text'])} |"
            for b, r in sorted(measured.vllm.items())
        ]
        parts.append("\n".join(lines))
    parts.append("Aims, for the 8B on a GPU:\n\n" + "\n".join(f"- {a}" for a in aims(measured)))
    return "\n\n".join(parts) + "\n"


def record(measured: Measured, path: Path = RESULTS) -> None:
    """Put the section in RESULTS.md: in the place of this device's old one, or at the end."""
    text = path.read_text(encoding="utf-8") if path.is_file() else "# Results\n"
    head, *sections = _split(text)
    title = f"## {measured.title}"
    kept = [s for s in sections if s.splitlines()[0] != title]
    place = next((i for i, s in enumerate(sections) if s.splitlines()[0] == title), len(sections))
    kept.insert(place, section(measured))
    path.write_text("\n".join(p.rstrip("\n") + "\n" for p in (head, *kept)), encoding="utf-8")


def commit() -> str:
    """The commit that was measured, with a mark if the runner's or the bench's files were changed since."""
    try:
        told = [
            subprocess.run(
                ["git", *words], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True
            ).stdout.strip()
            for words in (
                ("rev-parse", "--short=10", "HEAD"),
                ("status", "--porcelain", "--", "evalkit/runners/fun_audio_chat"),
            )
        ]
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return told[0] + (" with changes" if told[1] else "")


def rates(bandwidth: Mapping[str, float]) -> str:
    """Bandwidths in words."""
    return ", ".join(f"{name} {value / 1e9:,.1f} GB/s" for name, value in bandwidth.items())


def _split(text: str) -> Sequence[str]:
    """What stands before the first section, and the sections."""
    parts: list[list[str]] = [[]]
    for row in text.splitlines():
        if row.startswith("## "):
            parts.append([])
        parts[-1].append(row)
    return ["\n".join(p) for p in parts]


def _aim(measured: Measured, what: str, ratio: float | None, *, least: float = 0.0, most: float = 1e9) -> str:
    said = f"{what} {'at least' if least else 'at most'} {least or most:g} x: "
    if ratio is None:
        return said + "not measured"
    if warning(measured):
        return said + f"{ratio:.2f} x, and no verdict on this size and device"
    return said + f"{ratio:.2f} x, {'met' if least <= ratio <= most else 'not met'}"


def _sets_up(measured: Measured, row: Row) -> bool:
    """Do the first steps capture or compile anything?"""
    return bool(row.second) and (measured.on_gpu or row.variant == "compiled")


def traffic(row: Row) -> str:
    """What a step reads, in words."""
    return f"{_bytes(row.weights)} of weights, {_bytes(row.each)} of cache per position (it keeps {_bytes(row.held)})"


def _bytes(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count / 1024:g} KiB"


def _number(value: float | None) -> str:
    """Three or four digits that count."""
    if value is None:
        return "-"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.4f}"


def _ratio(value: float | None, base: float | None) -> str:
    return f"{value / base:.2f}" if value and base else "-"
