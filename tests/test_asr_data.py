"""LibriSpeech and Common Voice: every layout they are published in, ids, references, editions, mirrors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.asr import PROMPTS
from evalkit.errors import UsageError
from evalkit.records import Audio, Sample
from evalkit.registry import catalogue
from evalkit.sources import DataOptions, Row, open_source
from tests.cli_fixtures import ROOT, Bench, bench, refused

__all__ = ["bench"]

SMOKE = ROOT / "benchmarks" / "smoke"
ARCHIVE = SMOKE / "TwinkStart/CommonVoice_15/cv-corpus-15.0-2023-09-08"
CLEAN, OTHER = "asr/librispeech-clean", "asr/librispeech-other"
EN, ZH = "asr/common-voice-en", "asr/common-voice-zh"


def samples(task: str, data_dir: Path, repo: str | None = None) -> list[Sample]:
    found = catalogue().tasks[task]
    data = found.data.at(repo) if repo else found.data
    source = open_source(data, DataOptions(data_dir=str(data_dir)), task=task)
    return [found.to_sample(task, row) for row in source.rows()]


def as_row(given: bool = False, **values: Any) -> Row:
    return Row(values, file="x.parquet", number=3, split="test", root=".", given=given)


def test_the_smoke_data_in_four_layouts() -> None:
    found = {t: samples(t, SMOKE) for t in (CLEAN, OTHER, EN, ZH)}
    assert [s.id for s in found[CLEAN]] == ["7001-2001-0000", "7001-2001-0001"]
    assert [(s.id, s.target) for s in found[OTHER]] == [
        ("7002-2002-0000", "WE WENT HOME BY BOAT"),
        ("7003-2003-0000", "NOBODY'S LAMP WAS LIT"),
    ]
    assert [s.target for s in found[EN]] == [
        '"Mind the step," said the porter.',
        'He calls his boat the "Kettle".',
        "It's half past nine, isn't it?",
    ]
    assert [s.id for s in found[ZH]] == [f"common_voice_zh-CN_9000{k}.mp3" for k in range(1, 5)]
    assert found[ZH][1].meta == {"gender": "not stated", "age": "not stated"}
    for sample in (s for group in found.values() for s in group):
        [turn] = sample.turns
        audio, instruction = turn.parts
        assert isinstance(audio, Audio) and audio.read()
        assert instruction == "Please help me transcribe the audio."


def test_an_archive_names_its_edition(tmp_path: Path) -> None:
    shutil.copytree(ARCHIVE, tmp_path / "cv-corpus-17.0-2024-03-15")
    found = catalogue().tasks[ZH]
    seventeen = open_source(found.data, DataOptions(data_dir=str(tmp_path)), task=ZH)
    assert seventeen.describe()["edition"] == "17.0"
    shutil.copytree(ARCHIVE, tmp_path / "cv-corpus-15.0-2023-09-08")
    assert (
        open_source(found.data, DataOptions(data_dir=str(tmp_path)), task=ZH).describe()["edition"] == "15.0"
    )
    inside = open_source(found.data, DataOptions(data_dir=str(ARCHIVE)), task=ZH)
    assert inside.describe()["edition"] == "15.0" and len(list(inside.rows())) == 4
    shutil.copytree(ARCHIVE, tmp_path / "bare")
    bare = open_source(found.data, DataOptions(data_dir=str(tmp_path / "bare")), task=ZH)
    assert bare.describe()["edition"] == "not stated"


def test_an_openslr_tree_without_its_top_folder(tmp_path: Path) -> None:
    shutil.copytree(SMOKE / "openslr/librispeech_asr/LibriSpeech/test-other", tmp_path / "test-other")
    assert [s.id for s in samples(OTHER, tmp_path)] == ["7002-2002-0000", "7003-2003-0000"]
    with pytest.raises(UsageError, match=r"found no clean/test of openslr/librispeech_asr"):
        samples(CLEAN, tmp_path)


@pytest.mark.parametrize(
    ("task", "row", "want"),
    [
        (CLEAN, {"id": "1-2-0003", "text": "A", "audio": b"RIFF"}, ("1-2-0003", "A")),
        (CLEAN, {"file": "/x/1-2-0003.flac", "id": None, "text": "A", "audio": b"RIFF"}, ("1-2-0003", "A")),
        (CLEAN, {"audio": {"bytes": b"RIFF", "path": "1-2-0003.wav"}, "gt": "A"}, ("1-2-0003", "A")),
        (EN, {"path": "/root/clips/cv_1.mp3", "sentence": "A", "audio": b"RIFF"}, ("cv_1.mp3", "A")),
        (ZH, {"audio": {"bytes": b"RIFF", "path": "cv_1.mp3"}, "sentence": "A"}, ("cv_1.mp3", "A")),
    ],
)
def test_ids_and_references_of_mirrors(task: str, row: dict[str, Any], want: tuple[str, str]) -> None:
    """ASR sheet section 2."""
    sample = catalogue().tasks[task].to_sample(task, as_row(**row))
    assert (sample.id, sample.target) == want and len(sample.audios) == 1


def test_a_mirror_without_ids_goes_by_the_sound() -> None:
    one, other, same = (
        catalogue().tasks[CLEAN].to_sample(CLEAN, as_row(context={"bytes": b, "path": None}, answer="A"))
        for b in (b"one", b"two", b"one")
    )
    assert one.id == same.id != other.id and one.target == "A"


def test_rows_with_predictions_may_lack_everything_else() -> None:
    row = as_row(given=True)
    row.file_id = "u1"
    sample = catalogue().tasks[CLEAN].to_sample(CLEAN, row)
    assert (sample.id, sample.target, sample.audios) == ("u1", None, ())
    with pytest.raises(UsageError, match="has no column 'text'"):
        catalogue().tasks[CLEAN].to_sample(CLEAN, as_row(audio=b"RIFF"))


def test_mirrors_are_named_and_the_withdrawn_one_says_what_to_do(bench: Bench) -> None:
    data = catalogue().tasks[CLEAN].data
    assert data.at("TwinkStart/librispeech").splits == ("test_clean",)
    assert data.at("lmms-lab-audio/librispeech").config == "librispeech_test_clean"
    zh = catalogue().tasks[ZH].data
    assert (
        zh.at("lmms-lab-audio/common_voice_15").config,
        zh.at("lmms-lab-audio/common_voice_15").edition,
    ) == (
        "zh-CN",
        "15.0",
    )
    assert zh.at("somebody/common_voice_17").edition == "not stated"
    assert zh.at("mozilla-foundation/common_voice_17_0").edition == "17.0"
    gone = ["--data-repo", "mozilla-foundation/common_voice_15_0"]
    args = ["run", "--model", "replay/x.jsonl", "--task", ZH, "--progress", "none", "--out", bench.tmp / "a"]
    (bench.tmp / "x.jsonl").write_text('{"id": "a", "text": "b"}\n')
    args[2] = f"replay/{bench.tmp / 'x.jsonl'}"
    refused(bench.here(*args, *gone), "no longer on the hub", "--data-dir", "TwinkStart/CommonVoice_15")
    assert samples(ZH, SMOKE / "TwinkStart/CommonVoice_15", "mozilla-foundation/common_voice_15_0")


def test_the_prompts() -> None:
    assert list(PROMPTS) == ["report", "plain"]
    for task in (CLEAN, ZH):
        found = catalogue().tasks[task].asking("plain")
        row = as_row(audio=b"RIFF", text="A", sentence="A", id="1-2-3", path="1-2-3.mp3")
        assert found.to_sample(task, row).turns[0].text == PROMPTS["plain"]
