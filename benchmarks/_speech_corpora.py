"""LibriSpeech and Common Voice: where their rows lie, here and in mirrors, and how a row becomes a sample.

Names, splits and columns: ASR sheet section 2. The archives of OpenSLR and of Mozilla are read as unpacked.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from evalkit.errors import UsageError
from evalkit.records import Audio, Sample
from evalkit.sources import HubData, Row

_UTTERANCE = re.compile(r"\d+-\d+-\d+")

# --- rows to samples -----------------------------------------------------------------------------


def librispeech(instruction: str) -> Callable[[str, Row], Sample]:
    """Rows of LibriSpeech or of a mirror; id is the utterance's."""

    def convert(task: str, row: Row) -> Sample:
        names = (row.get("id"), row.get("file"), _inner_path(row))
        key = next((s for n in names if _UTTERANCE.fullmatch(s := PurePosixPath(str(n)).stem)), "")
        sample = _sample(task, row, key, ("text", "gt", "answer"), f"{key}.flac", {}, instruction)
        return replace(sample, cluster=key.partition("-")[0])

    return convert


def common_voice(instruction: str) -> Callable[[str, Row], Sample]:
    """Rows of a Mozilla archive or of a mirror; id is the file name of the clip."""

    def convert(task: str, row: Row) -> Sample:
        key = PurePosixPath(str(row.get("path") or _inner_path(row) or "")).name
        meta = {k: row.get(k) or "not stated" for k in ("gender", "age")}
        sample = _sample(task, row, key, ("sentence", "gt", "answer"), f"clips/{key}", meta, instruction)
        return replace(sample, cluster=str(row.get("client_id") or ""))

    return convert


def _inner_path(row: Row) -> str | None:
    audio = row.get("audio")
    return audio.get("path") if isinstance(audio, dict) else None


def _clip(row: Row, place: str) -> Audio:
    found = row.locate(place)
    if row.given and not (found.path and Path(found.path).is_file()):
        raise UsageError(f"{row.where}: the clip is not here")  # nor need it be: the answer is
    return found


def _sample(
    task: str, row: Row, key: str, texts: tuple[str, ...], clip: str, meta: dict[str, Any], instruction: str
) -> Sample:
    column = next((c for c in texts if row.get(c) is not None), texts[0])
    target = row.get(column) if row.given else row[column]
    held = next((c for c in ("audio", "context") if row.get(c)), None)
    turn = row.turn(lambda: row.audio(held) if held else _clip(row, clip), instruction)
    if not key and row.get("id") is not None:
        key = str(row["id"])
    if not key:  # a mirror without ids: the sound names the utterance
        key = row.stable_id(column) if row.given or not turn.parts else turn.parts[0].digest()[:12]  # type: ignore[union-attr]
    return Sample(key, task, (turn,), target=target, meta=meta)


# --- data ----------------------------------------------------------------------------------------


def librispeech_data(part: str) -> HubData:
    """The test set "clean" or "other"."""
    split = f"test_{part}"
    return HubData(
        "openslr/librispeech_asr",
        part,
        licence="CC-BY-4.0",
        citation="Panayotov et al., ICASSP 2015",
        files=(
            "{config}/{split}/*.parquet",
            *(f"LibriSpeech/test-{part}/*/*/*.trans.txt", f"test-{part}/*/*/*.trans.txt"),
        ),
        mirrors=(
            HubData("TwinkStart/librispeech", None, (split,)),
            HubData("lmms-lab-audio/librispeech", f"librispeech_{split}", (f"librispeech_{split}",)),
            HubData(f"AudioLLMs/librispeech_{split}"),
            HubData("hf-audio/esb-datasets-test-only-sorted", "librispeech", (f"test.{part}",)),
        ),
    )


WITHDRAWN = (
    "is no longer on the hub (withdrawn in 2025); download Common Voice 15.0 from Mozilla Data Collective, unpack "
    "it and point --data-dir to the folder that holds cv-corpus-15.0-*, or leave --data-repo out to read the copy "
    "TwinkStart/CommonVoice_15."
)


def _withdrawn(edition: str, locale: str, archive: tuple[str, ...]) -> HubData:
    repo = f"mozilla-foundation/common_voice_{edition.replace('.', '_')}"
    return HubData(repo, locale, edition=edition, files=archive, withdrawn=WITHDRAWN)


def common_voice_data(language: str, locale: str) -> HubData:
    """The test set of a language ("en", "zh"), which Mozilla files under a locale ("en", "zh-CN")."""
    archive = tuple(f"{folder}{locale}/test.tsv" for folder in ("cv-corpus-15.0-*/", "cv-corpus-*/", ""))
    mirrors = (
        HubData("lmms-lab-audio/common_voice_15", locale),
        *(_withdrawn(edition, locale, archive) for edition in ("11.0", "13.0", "15.0", "16.1", "17.0")),
        *((HubData("AudioLLMs/common_voice_15_en_test"),) if language == "en" else ()),
    )
    return HubData(
        "TwinkStart/CommonVoice_15",
        splits=(language,),
        licence="CC0-1.0",
        citation="arXiv 1912.06670",
        edition="15.0",
        files=archive,
        mirrors=mirrors,
    )
