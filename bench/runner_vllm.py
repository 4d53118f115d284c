"""vLLM on the same checkpoint, prompts and lengths as `bench.runner`, in a process of its own.

Reads one JSON object on stdin (checkpoint, dtype, batches, steps, repeats, seconds, share) and writes a line of JSON
for each batch size on stdout: {"batch": B, "samples": per second, "text": tokens per second}. Not a command by itself.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

MARK = "vllm-row "
ROOT = Path(__file__).resolve().parent.parent


def rows(asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Start vLLM and time each batch size."""
    from vllm import LLM, SamplingParams

    from bench.runner_timing import clip_and_wave, prompt_ids
    from evalkit.runners.fun_audio_chat.folder.config import read_config
    from evalkit.runners.vllm.mend import QUALNAME

    config = read_config(Path(asked["checkpoint"]))
    _, wave = clip_and_wave(config, asked["seconds"])
    llm = LLM(
        model=asked["checkpoint"],
        dtype=asked["dtype"],
        gpu_memory_utilization=asked["share"],
        max_model_len=4096,
        max_num_seqs=max(asked["batches"]),
        limit_mm_per_prompt={"audio": {"count": 1, "length": max(16_000, len(wave))}},
        worker_extension_cls=QUALNAME,
        # Every answer is paid for in full, as ours are.
        enable_prefix_caching=False,
        mm_processor_cache_gb=0,
        seed=0,
    )
    how = SamplingParams(
        temperature=0.0,
        max_tokens=asked["steps"],
        min_tokens=asked["steps"],
        ignore_eos=True,
        detokenize=False,
    )
    for batch in asked["batches"]:
        # One placeholder: vLLM expands it. Without a clip there is none.
        groups = 1 if len(wave) else 0
        prompts: list[Any] = [
            {
                "prompt_token_ids": list(prompt_ids(config, groups, seed=s)),
                **({"multi_modal_data": {"audio": [(wave, 16_000)]}} if groups else {}),
            }
            for s in range(batch)
        ]
        times, tokens = [], 0
        for wave_of in range(1 + asked["repeats"]):
            started = time.perf_counter()
            answers = llm.generate(prompts, how, use_tqdm=False)
            if wave_of:
                times.append(time.perf_counter() - started)
            tokens = sum(len(a.outputs[0].token_ids) for a in answers)
        took = median(times)
        yield {"batch": batch, "samples": batch / took, "text": tokens / took}


def compare(asked: dict[str, Any], timeout: float) -> tuple[dict[int, dict[str, float]], str]:
    """Run it from the bench: what each batch size gave, and why it broke off ("" if it did not)."""
    import subprocess

    try:
        done = subprocess.run(
            [sys.executable, "-m", "bench.runner_vllm"],
            input=json.dumps(asked),
            stdout=subprocess.PIPE,
            text=True,
            timeout=timeout,
            cwd=ROOT,
            env={**os.environ, "VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", "WARNING")},
            check=False,
        )
        out, why = done.stdout, f"vLLM ended with exit code {done.returncode}" if done.returncode else ""
    except subprocess.TimeoutExpired as exc:
        out = exc.stdout.decode(errors="replace") if isinstance(exc.stdout, bytes) else exc.stdout or ""
        why = f"vLLM took more than {timeout:.0f} s"
    found = {}
    for line in out.splitlines():
        if line.startswith(MARK):
            row = json.loads(line.removeprefix(MARK))
            found[row["batch"]] = row
    return found, why


def main() -> None:
    for row in rows(json.load(sys.stdin)):
        print(MARK + json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
