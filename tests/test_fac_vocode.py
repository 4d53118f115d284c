"""`vocode` as a user calls it: a run with -M speech=ids, audio of its ids, `score` of that."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from evalkit.audio import pcm_wav
from evalkit.cli.vocode import Count, score_commands
from evalkit.records import Modality, Response, Sample, Transcript
from evalkit.runners.asr import engines
from tests.cli_fixtures import Bench, Done, ToyRunner, bench, lines, refused, result, sent
from tests.vocoder_fixtures import make

__all__ = ["bench"]

SPOKEN = "ultraeval-audio/llama-questions"
REPO = "TwinkStart/llama-questions"
DUPLEX = "ultraeval-audio/llama-questions-s2m"
TWELVE = [6561] * 10 + list(range(12)) + [6562] * 5
"""12 tokens are 0.48 s."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make(tmp_path_factory.mktemp("vocode"))


class Speaker(ToyRunner):
    """Keeps what it would say as ids: q00 and q01 say the same, q02 nothing audible, q03 what a vocoder can't."""

    name = "speaker"
    says: ClassVar[Mapping[str, list[int]]] = {
        "q00": TWELVE,
        "q01": TWELVE,
        "q02": [6561] * 10 + [6562] * 5,
        "q03": [9, 9],
    }

    async def generate(self, sample: Sample, modality: Modality) -> Response:
        ids = self.says[sample.id]
        return Response(
            sample.id, text="a", sent=sent(sample), meta={"speech": "ids", "speech_ids": ids} if ids else {}
        )


class Ears:
    """Hears how long a piece of speech is."""

    signature = "toy-asr"

    def transcribe(self, audios: Any, language: str | None) -> list[Transcript]:
        return [Transcript(a.digest(), self.signature, f"it took {a.seconds:.2f} s") for a in audios]


@pytest.fixture
def asked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Four questions whose right answer is the length of q00's speech, the toy model and the toy ears."""
    bench.questions(4, "data", repo=REPO, Answer="0.48 s", question="how long?")
    bench.runner(Speaker)
    monkeypatch.setitem(engines._ENGINES, "toy", (lambda model, options: Ears(), ()))
    return bench


def run(bench: Bench, *more: object, task: str = SPOKEN) -> Done:
    where = ["--task", task, "--data-dir", bench.data, "--out", bench.tmp / "r", "--no-report", "--no-cache"]
    return bench.here("run", "--model", "speaker/best", *where, "--asr", "toy", *more)


def vocode(bench: Bench, places: tuple[Path, Path], *more: object) -> Done:
    where = ["--cosyvoice", places[0], "--vocoder", places[1], "--device", "cpu"]
    return bench.here("vocode", bench.tmp / "r", *where, *more)


def score(bench: Bench, out: str, *more: object, task: str = SPOKEN) -> Done:
    file = bench.tmp / "r/vocoded" / (task.replace("/", ".") + ".jsonl")
    where = ["--data-dir", bench.data, "--out", bench.tmp / out, "--no-report", "--asr", "toy"]
    return bench.here("score", f"{task}={file}", "--label", "best", *where, *more)


def test_ids_are_neither_silence_nor_speech(asked: Bench) -> None:
    """Unscored by name, whatever a protocol makes of silence; ids without an audible one are the model's silence."""
    for task, protocol, metric in (
        (SPOKEN, "official", "acc"),
        (SPOKEN, "strict", "acc"),
        (DUPLEX, "report", "s2m_s"),
    ):
        done = run(asked, "--protocol", protocol, task=task)
        assert done.code == 1, done.said
        found = result(asked.tmp / "r", task, metric)
        assert found["n_scored"] == 0 and found["reasons"]["speech-ids"]["n"] == 4
        assert "run_eval.py vocode RUN" in json.dumps(found["reasons"])
    [first, *_] = lines(asked.tmp / "r" / SPOKEN / "responses.jsonl")
    assert first["meta"]["speech"] == "ids" and "audio" not in first


def test_no_ids_are_silence(asked: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Speaker, "says", {key: [] for key in Speaker.says})
    assert run(asked, "--protocol", "strict").code == 0
    assert result(asked.tmp / "r", SPOKEN)["value"] == 0.0


def test_from_ids_to_a_score(asked: Bench, places: tuple[Path, Path]) -> None:
    """Speech is heard and judged, silence is wrong, what couldn't be spoken is an error; torn audio is redone."""
    run(asked)
    done = vocode(asked, places)
    out = asked.tmp / "r/vocoded"
    assert done.code == 1, done.said
    assert "q03: the vocoder failed on 2 tokens: RuntimeError: Kernel size" in done.err
    assert "4 answers: 1 made, 1 made before, 1 silent, 1 errors; 1.0 s of speech" in done.out
    assert "score" in done.out and "--label best" in done.out
    said = {x["id"]: x for x in lines(out / f"{SPOKEN.replace('/', '.')}.jsonl")}
    assert said["q00"]["audio"] == said["q01"]["audio"] and said["q00"]["text"] == "a"
    assert said["q02"]["audio"] == "audio/silence.wav" and said["q03"]["error"]["kind"] == "vocoder"

    done = score(asked, "s", "--protocol", "strict")
    assert done.code == 1, done.said
    found = result(asked.tmp / "s", SPOKEN)
    assert (found["n"], found["n_scored"], found["n_errors"]) == (4, 3, 1)
    assert found["value"] == pytest.approx(200 / 3)
    heard = {x["sample_id"]: x for x in lines(asked.tmp / "s" / SPOKEN / "responses.jsonl")}
    assert heard["q02"]["meta"]["speech"] == "empty" and heard["q00"]["audio"]["seconds"] == 0.48
    assert json.loads((asked.tmp / "s/run.json").read_text())["model"]["label"] == "best"

    made = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (out / "audio").iterdir()}
    torn = out / said["q00"]["audio"]
    torn.write_bytes(torn.read_bytes()[:-100])
    done = vocode(asked, places, "--json")
    told = json.loads(done.out)
    counts = told["tasks"][SPOKEN]
    assert done.code == 1 and (counts["made"], counts["kept"], counts["errors"]) == (1, 1, 1)
    assert {p: p.read_bytes() for p in (out / "audio").iterdir()} == {p: b for p, (_, b) in made.items()}
    assert told["model"]["runner"].startswith("speaker/best@") and told["vocoder"]["flow_sha256"]
    assert json.loads((out / "vocode.json").read_text()) == told


def test_a_task_of_own_data_is_scored_by_its_manifest() -> None:
    counts = {SPOKEN: Count("v/a.jsonl"), "custom/quiz": Count("v/quiz.jsonl"), DUPLEX: Count("v/b.jsonl")}
    assert score_commands(counts, {"model": {"label": "m 1"}, "limit": 5}) == [
        f"run_eval.py score {SPOKEN}=v/a.jsonl {DUPLEX}=v/b.jsonl --label 'm 1' --limit 5",
        "run_eval.py score v/quiz.jsonl --task MANIFEST --label 'm 1' --limit 5",
    ]


def test_silence_of_a_duplex_model_is_wrong(asked: Bench, places: tuple[Path, Path]) -> None:
    """S2M scores words and speech of one answer each; here the words are wrong and half of the speech right."""
    run(asked, task=DUPLEX)
    assert vocode(asked, places).code == 1
    score(asked, "s", task=DUPLEX)
    found = result(asked.tmp / "s", DUPLEX, "s2m_s")
    assert (found["value"], found["n_scored"], found["n_errors"]) == (pytest.approx(200 / 3), 3, 1)


def test_answers_of_other_kinds(asked: Bench, places: tuple[Path, Path]) -> None:
    """A run half with audio: it goes along, as do errors; nothing is left to make, so no process starts."""
    run(asked, "--limit", 2)
    kept = asked.tmp / "r" / SPOKEN / "responses.jsonl"
    rows = lines(kept)
    asked.tmp.joinpath("r/audio").mkdir(exist_ok=True)
    (asked.tmp / "r/audio/x.flac").write_bytes(b"sound")
    rows[0]["meta"] = {}
    rows[0]["audio"] = {"path": "audio/x.flac", "format": "flac", "sha256": "0" * 64, "seconds": 1.5}
    rows[1]["meta"]["speech_ids"] = [6561]
    rows.append(
        {**rows[1], "sample_id": "q02", "error": {"kind": "http-500", "message": "no", "attempts": 1}}
    )
    rows.append({**rows[1], "sample_id": "q03", "meta": {"speech": "empty"}})
    kept.write_text("".join(json.dumps(r) + "\n" for r in rows))
    done = vocode(asked, places, "--out", asked.tmp / "v", "--python", "/bin/false")
    assert done.code == 0, done.said
    assert (
        "1 with audio in the run, 2 silent, 1 errors of the run; 1.5 s" in done.out
        and "--limit 2" in done.out
    )
    assert (asked.tmp / "v/audio/x.flac").read_bytes() == b"sound"
    [_, _, third, _] = lines(asked.tmp / "v" / f"{SPOKEN.replace('/', '.')}.jsonl")
    assert third["error"] == {"kind": "http-500", "message": "no"} and "text" not in third


def test_one_sentence_for_what_is_wrong(
    asked: Bench, places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(vocode(asked, places), "is not a run directory")
    monkeypatch.setattr(Speaker, "says", {key: [] for key in Speaker.says})
    run(asked)
    refused(vocode(asked, places), "holds no speech ids", "-M speech=ids")
    refused(vocode(asked, places, "--task", "mmau/*"), "no task mmau/*")
    refused(vocode(asked, places, "--timeout", "0"), "--timeout")
    refused(vocode(asked, (places[0], asked.tmp)), "has no cosyvoice3.yaml")
    monkeypatch.undo()


def test_a_vocoder_that_cannot_start_ends_the_call(asked: Bench, places: tuple[Path, Path]) -> None:
    run(asked)
    line = refused(
        vocode(asked, places, "--python", "/bin/false", "--progress", "none"), "died while it was starting"
    )
    assert "not tried again" in line
    assert not (asked.tmp / "r/vocoded/vocode.json").exists()


def test_an_interrupted_call_goes_on(asked: Bench, places: tuple[Path, Path]) -> None:
    """Ctrl-C keeps audio that was made, and leaves no predictions file that is cut off."""
    from evalkit.runners.fun_audio_chat.speech.vocoder import Vocoder

    run(asked)
    spoken: list[int] = []

    def speak(self: Vocoder, ids: list[int]) -> Any:
        spoken.append(len(ids))
        if len(spoken) == 2:
            signal.raise_signal(signal.SIGINT)
        return pcm_wav(b"\1\0" * 960 * len(ids), 24_000)

    with asked.monkeypatch.context() as patch:
        patch.setattr(Vocoder, "speak", speak)
        assert vocode(asked, places).code == 130
        assert not list((asked.tmp / "r/vocoded").glob("*.json*"))
        assert vocode(asked, places).code == 0
    assert spoken == [12, 2, 2]
