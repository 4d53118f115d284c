"""Toy runners through the whole command: honesty about audio, batches, memory, bugs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from evalkit.audio import encode_wav
from evalkit.errors import OutOfMemory, RunnerError, UsageError
from evalkit.linefiles import write_bytes
from evalkit.records import Audio, Modality, Response, Sample
from tests.cli_fixtures import Bench, Done, ToyRunner, bench, lines, refused, result, sent

__all__ = ["bench"]

ADV = "voicebench/advbench"
SPOKEN = "ultraeval-audio/llama-questions-s2t"


class Batches(ToyRunner):
    """Takes batches; notes their sizes."""

    name = "batches"
    batch_size = 8
    sizes: list[int]

    def generate_batch(self, samples: Sequence[Sample], modality: Modality) -> list[Response]:
        self.sizes.append(len(samples))
        return [Response(s.id, text=f"answer to {s.id}", sent=sent(s)) for s in samples]


def run(bench: Bench, cls: type[ToyRunner], *more: object, task: str = ADV) -> Done:
    bench.runner(cls)
    args = [
        "run",
        "--model",
        f"{cls.name}/m",
        "--task",
        task,
        "--data-dir",
        bench.data,
        "--no-report",
        "--no-cache",
    ]
    return bench.here(*args, "--out", bench.tmp / "a", *more)


def answers(bench: Bench, task: str = ADV) -> dict[str, str]:
    kept = lines(bench.tmp / "a" / task / "responses.jsonl")
    return {x["sample_id"]: x["text"] if "error" not in x else x["error"]["kind"] for x in kept}


def test_audio_that_was_never_sent_is_an_error(bench: Bench) -> None:
    """The model answers well and the runner sent it nothing to hear: no score, but an error by name."""
    bench.questions(3)

    class Deaf(ToyRunner):
        name = "deaf"

        async def generate(self, sample: Sample, modality: Modality) -> Response:
            return Response(sample.id, text="I can't help with that.")

    done = run(bench, Deaf)
    assert done.code == 1, done.said
    assert set(answers(bench).values()) == {"no-audio-sent"}
    found = result(bench.tmp / "a", ADV)
    assert (found["n"], found["n_errors"], found["n_scored"], found["value"]) == (3, 3, 0, None)
    assert "sent none to the model" in done.err


def test_memory_runs_out_above_three(bench: Bench) -> None:
    """Batches of 8 shrink until they fit; order and answers are kept, and nobody is asked twice for one."""
    bench.questions(20)

    class Small(Batches):
        name = "small"
        sizes: list[int] = []  # noqa: RUF012

        def generate_batch(self, samples: Sequence[Sample], modality: Modality) -> list[Response]:
            if len(samples) > 3:
                self.sizes.append(-len(samples))
                raise OutOfMemory(f"{len(samples)} is too many")
            return super().generate_batch(samples, modality)

    done = run(bench, Small)
    assert done.code == 0, done.said
    assert answers(bench) == {f"q{k:02}": f"answer to q{k:02}" for k in range(20)}
    fitted = [s for s in Small.sizes if s > 0]
    assert sum(fitted) == 20 and max(fitted) <= 3
    failed = [-s for s in Small.sizes if s < 0]
    assert failed[0] == 8 and len(failed) <= 4  # it learns: not every batch is tried at 8


def test_memory_runs_out_for_one(bench: Bench) -> None:
    """One sample that fits in no memory is an error; the others are answered."""
    bench.questions(6)

    class Tiny(Batches):
        name = "tiny"
        sizes: list[int] = []  # noqa: RUF012

        def generate_batch(self, samples: Sequence[Sample], modality: Modality) -> list[Response]:
            if any(s.id == "q04" for s in samples):
                raise OutOfMemory("q04 is too long")
            return super().generate_batch(samples, modality)

    done = run(bench, Tiny)
    assert done.code == 1, done.said
    assert answers(bench) == {
        f"q{k:02}": "out-of-memory" if k == 4 else f"answer to q{k:02}" for k in range(6)
    }


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), RunnerError("bad-input", "can't take q02")])
def test_a_bad_sample_does_not_take_its_batch_along(bench: Bench, error: Exception) -> None:
    bench.questions(8)

    class Touchy(Batches):
        name = "touchy"
        sizes: list[int] = []  # noqa: RUF012

        def generate_batch(self, samples: Sequence[Sample], modality: Modality) -> list[Response]:
            if any(s.id == "q02" for s in samples):
                raise error
            return super().generate_batch(samples, modality)

    done = run(bench, Touchy)
    assert done.code == 1, done.said
    kind = "runner-crash" if isinstance(error, RuntimeError) else "bad-input"
    assert answers(bench) == {f"q{k:02}": kind if k == 2 else f"answer to q{k:02}" for k in range(8)}
    assert "1 sample errored" in done.err and str(error) in done.err


def test_answers_out_of_step_are_refused(bench: Bench) -> None:
    """A batch runner that loses an answer must not shift the others to the wrong samples."""
    bench.questions(4)

    class Lossy(Batches):
        name = "lossy"
        sizes: list[int] = []  # noqa: RUF012

        def generate_batch(self, samples: Sequence[Sample], modality: Modality) -> list[Response]:
            return super().generate_batch(samples, modality)[1:]

    done = run(bench, Lossy)
    assert done.code == 1 and set(answers(bench).values()) == {"bad-batch"}, done.said


def test_a_bug_in_a_runner_is_one_failed_sample(bench: Bench) -> None:
    bench.questions(3)

    class Buggy(ToyRunner):
        name = "buggy"

        async def generate(self, sample: Sample, modality: Modality) -> Response:
            if sample.id == "q01":
                raise KeyError("oops")
            return Response(sample.id, text="fine", sent=sent(sample))

    done = run(bench, Buggy)
    assert done.code == 1 and "Traceback" not in done.err
    assert answers(bench) == {"q00": "fine", "q01": "runner-crash", "q02": "fine"}
    assert "KeyError" in done.err


def test_what_the_user_can_mend_stops_the_run(bench: Bench) -> None:
    """A missing package found out at the first sample is one sentence and exit 2, not a failure of each."""
    bench.questions(3)

    class Bare(ToyRunner):
        name = "bare"

        async def generate(self, sample: Sample, modality: Modality) -> Response:
            raise UsageError('torch is not installed: pip install "evalkit[local]"')

    done = run(bench, Bare)
    assert done.code == 2 and "evalkit[local]" in done.err, done.said


def test_a_modality_the_runner_lacks(bench: Bench) -> None:
    class Mute(ToyRunner):
        name = "mute"
        modalities = frozenset({Modality.S2T})

    bench.questions(1, "data", "TwinkStart/llama-questions", question="?", Answer="x")
    done = run(bench, Mute, task="ultraeval-audio/llama-questions")
    assert done.code == 2 and "is S2S, which the runner 'mute' can't serve" in done.err


@pytest.mark.parametrize("what", ["none", "empty", "garbage"])
def test_speech_that_is_missing_or_broken(bench: Bench, what: str) -> None:
    """No speech where speech was due is an answer without words; bytes that are no audio are an error."""
    bench.questions(1, "data", "TwinkStart/llama-questions", question="?", Answer="x")

    class Hoarse(ToyRunner):
        name = "hoarse"

        async def generate(self, sample: Sample, modality: Modality) -> Response:
            data = {"empty": b"", "garbage": b"RIFFnot a wav at all"}.get(what)
            audio = Audio(data=data, format="wav") if data is not None else None
            return Response(sample.id, text="hm", audio=audio, sent=sent(sample))

    task = "ultraeval-audio/llama-questions"
    done = run(bench, Hoarse, "--protocol", "strict", task=task)
    assert done.code == (1 if what == "garbage" else 0) and "Traceback" not in done.err, done.said
    found = result(bench.tmp / "a", task)
    if what == "garbage":
        assert answers(bench, task) == {"q00": "bad-speech"} and found["n_errors"] == 1
    else:
        assert (found["n_scored"], found["value"]) == (1, 0.0)


def test_equal_speech_of_many_answers_at_once(bench: Bench) -> None:
    """Many threads that store the same sound at the same moment store it once, whole."""
    import numpy as np

    bench.questions(24, "data", "TwinkStart/llama-questions", question="?", Answer="x")
    wav = encode_wav(np.zeros(8000, np.float32), 16_000)

    class Choir(ToyRunner):
        name = "choir"
        concurrency = 24

        async def generate(self, sample: Sample, modality: Modality) -> Response:
            return Response(sample.id, text="la", audio=Audio(data=wav), sent=sent(sample))

    task = "ultraeval-audio/llama-questions"
    done = run(bench, Choir, task=task)
    assert done.code == 1 and set(answers(bench, task).values()) == {"la"}, done.said
    assert len(list((bench.tmp / "a/audio").iterdir())) == 1


def test_one_file_written_by_many_threads(bench: Bench) -> None:
    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(write_bytes, bench.tmp / "x.flac", b"x" * 50_000) for _ in range(400)]:
            future.result()
    assert [p.name for p in bench.tmp.iterdir()] == ["x.flac"]


def test_a_wrong_sample_id_does_not_move_an_answer(bench: Bench) -> None:
    bench.questions(2)

    class Mixed(ToyRunner):
        name = "mixed"

        async def generate(self, sample: Sample, modality: Modality) -> Response:
            return replace(await super().generate(sample, modality), sample_id="q00", text=sample.id)

    assert run(bench, Mixed).code == 0
    assert answers(bench) == {"q00": "q00", "q01": "q01"}
    assert json.loads((bench.tmp / "a/run.json").read_text())["sessions"][0]["requests"] == 2


def test_a_batch_in_another_order_moves_no_answer(bench: Bench) -> None:
    bench.questions(4)

    class Sorted(Batches):
        name = "sorted"
        sizes: list[int] = []  # noqa: RUF012 - as the other toys

        def generate_batch(self, samples: Sequence[Sample], modality: Modality) -> list[Response]:
            found = super().generate_batch(samples, modality)
            named = [replace(r, text=s.id) for r, s in zip(found, samples, strict=True)]
            return named[::-1]

    assert run(bench, Sorted).code == 0
    assert answers(bench) == {f"q0{k}": f"q0{k}" for k in range(4)}


@pytest.mark.parametrize("answer", [None, "la", Response("q00", text=7)])  # type: ignore[arg-type]
def test_what_is_no_response_is_one_failed_sample(bench: Bench, answer: Any) -> None:
    bench.questions(1)

    class Odd(ToyRunner):
        name = "odd"

        async def generate(self, sample: Sample, modality: Modality) -> Response:
            return answer  # type: ignore[no-any-return]

    done = run(bench, Odd)
    assert done.code == 1 and "the runner gave a" in done.err, done.said


def test_a_runner_that_lacks_its_weights_is_told_in_one_sentence(bench: Bench) -> None:
    bench.questions(1)

    class Bare(ToyRunner):
        name = "bare"

        def prepare(self, modality: Modality) -> None:
            raise OSError("no weights\nhere")

    refused(run(bench, Bare), "the runner 'bare' can't be made ready (OSError: no weights here)")
