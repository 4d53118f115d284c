"""How fast spoken answers are transcribed, by batch size, and how fast their sound is rated.

    python -m bench.transcription
    python -m bench.transcription --asr transformers/openai/whisper-large-v3 -A device=cuda --batches 1,8,32

Real speech out of the smoke data, as spoken answers. The first row, one piece after another, is the baseline that
the others are told as ratios of: timings on a shared machine are not facts about the code. "same" is the share of
pieces in whose transcript a batch changed nothing. Without --asr: the embedded tiny.en, on this CPU.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from evalkit.audio import AudioError, materialise
from evalkit.errors import UsageError
from evalkit.interfaces import Answer, Transcriber
from evalkit.records import Audio, Response, Sample
from evalkit.runners.asr.engines import make_transcriber

ROOT = Path(__file__).resolve().parent.parent
SPEECH = ("*.wav", "*.mp3", "*.flac")


@dataclass(frozen=True)
class Timed:
    """One pass over the pieces: seconds of wall and of CPU, and what was heard."""

    name: str
    batch: int
    wall: float
    cpu: float
    texts: tuple[str, ...]
    failed: int


def pieces(n: int) -> list[Audio]:
    """The first n pieces of English speech in the smoke data that differ, shortest clips included."""
    found: dict[str, Audio] = {}
    for pattern in SPEECH:
        for path in sorted((ROOT / "benchmarks/smoke").rglob(pattern)):
            if len(found) == n:
                return list(found.values())
            if "zh" in str(path.relative_to(ROOT)).lower():
                continue
            try:
                audio = materialise(Audio(path=str(path)))
            except AudioError:
                continue
            found.setdefault(audio.digest(), audio)
    return list(found.values())


def timed(name: str, engine: Transcriber, batch: int, speech: Sequence[Audio]) -> Timed:
    """Hear everything once, in batches of like length as a run makes them."""
    getattr(engine, "prepare", lambda: None)()
    engine.transcribe(speech[:1], "en")  # the first call pays for set-up
    order = sorted(range(len(speech)), key=lambda i: speech[i].seconds or 0.0)
    texts, failed = [""] * len(speech), 0
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(order), batch):
        group = order[start : start + batch]
        for i, transcript in zip(group, engine.transcribe([speech[i] for i in group], "en"), strict=True):
            texts[i] = transcript.text
            failed += transcript.error is not None
    return Timed(name, batch, time.perf_counter() - wall, time.process_time() - cpu, tuple(texts), failed)


def show(rows: Sequence[Timed], seconds: float) -> None:
    """A line for each pass, beside the first."""
    base = rows[0]
    print(f"{'engine':<34} batch    RTF  speed-up  CPU s/s  same")
    for row in rows:
        same = sum(a == b for a, b in zip(row.texts, base.texts, strict=True)) / len(row.texts)
        failed = f"  {row.failed} failed" if row.failed else ""
        print(
            f"{row.name:<34.34} {row.batch:>5}  {row.wall / seconds:>5.3f}  {base.wall / row.wall:>7.2f}x"
            f"  {row.cpu / seconds:>7.3f}  {same:>4.0%}{failed}"
        )


def show_dnsmos(speech: Sequence[Audio]) -> None:
    """Clips a second of DNSMOS in both conventions, in one worker thread and in two as a run has them."""
    from judges.dnsmos import Dnsmos

    sample = Sample("1", "bench/quality", ())
    answers = [Answer("", Response("1", audio=a)) for a in speech]
    print(f"\n{'DNSMOS':<34} threads  clips/s  ratio")
    base = 0.0
    for convention in ("ultraeval", "microsoft"):
        judge = Dnsmos(convention)  # type: ignore[arg-type]
        verdict = judge.score(sample, answers[0])[0]
        if verdict.value is None:
            print(f"{convention:<34} {verdict.reason}")
            continue
        for workers in (1, 2):
            started = time.perf_counter()
            with ThreadPoolExecutor(workers) as threads:
                list(threads.map(lambda a, j=judge: j.score(sample, a), answers))  # type: ignore[misc]
            rate = len(answers) / (time.perf_counter() - started)
            base = base or rate
            print(f"{convention:<34} {workers:>7}  {rate:>7.2f}  {rate / base:>5.2f}")


def engines(args: argparse.Namespace) -> list[tuple[str, Transcriber, int]]:
    """What to time: the baseline first. Raises UsageError."""
    options = dict(word.split("=", 1) for word in args.A or ())
    if args.asr:
        spec, baseline = args.asr, None
    else:
        from evalkit.runners.embedded.weights import asr_folder

        spec = f"faster-whisper/{asr_folder().path}"
        options = {"device": "cpu", "compute_type": "int8", "threads": "1", "language": "en", **options}
        baseline = ("embedded", make_transcriber("embedded", {}), 1)
    found = [baseline] if baseline else []
    name = args.asr or "faster-whisper, the same weights"
    for batch in args.batches:
        try:
            engine = make_transcriber(spec, {**options, "batch": str(batch)})
        except UsageError:
            if batch != 1:  # an engine that hears one at a time has no such option
                continue
            engine = make_transcriber(spec, options)
        found.append((name, engine, batch))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--asr", metavar="ENGINE/MODEL", help="as in `run`")
    parser.add_argument("-A", action="append", metavar="NAME=VALUE", help="option of the ASR engine")
    parser.add_argument("--pieces", type=int, default=16)
    parser.add_argument(
        "--batches", type=lambda t: [int(x) for x in t.split(",")], default=[1, 2, 4, 8], metavar="1,2,4"
    )
    args = parser.parse_args()
    speech = pieces(args.pieces)
    seconds = sum(a.seconds or 0.0 for a in speech)
    print(f"{len(speech)} pieces of speech, {seconds:.1f} s in all\n")
    try:
        show([timed(*engine, speech) for engine in engines(args)], seconds)
    except UsageError as exc:
        sys.exit(f"error: {exc}")
    show_dnsmos(speech[:10])


if __name__ == "__main__":
    main()
