"""Which Fun-Audio-Chat checkpoint is evaluated: the digest of its folder, and the folder that a name stands for."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import UsageError
from evalkit.runners.fun_audio_chat.folder import checkpoint, digests
from evalkit.runners.fun_audio_chat.folder.checkpoint import digest, resolve
from evalkit.runners.fun_audio_chat.folder.shards import SINGLE, weight_files
from tests.fun_audio_chat_fixtures import DENSE, FOLDERS

COUNTED = 9
"""Files of a tiny checkpoint that decide answers: weights, four configs, three of the tokenizer, the chat template."""
TICK = 0.02
"""s: longer than a kernel takes from one time stamp to the next."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def copy(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint whose files count as written long ago."""
    monkeypatch.setattr(digests, "_SETTLED_NS", -1)
    shutil.copytree(DENSE, tmp_path / "copy")
    return tmp_path / "copy"


def test_the_digest_is_of_names_and_content(copy: Path) -> None:
    files = [p for p in copy.iterdir() if p.name in digests.SEMANTIC or p.name == SINGLE]
    lines = sorted(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in files)
    assert digest(copy) == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert len(files) == COUNTED
    assert digest(copy) != digest(FOLDERS["moe"])


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "preprocessor_config.json", "chat_template.jinja", SINGLE]
)
def test_a_changed_byte_changes_it(copy: Path, name: str) -> None:
    before = digest(copy)
    path = copy / name
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    times = path.stat()
    time.sleep(TICK)
    path.write_bytes(data)
    assert digest(copy) != before
    # Even where size and time of the content are as they were.
    data[-2] ^= 3
    time.sleep(TICK)
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    changed = digest(copy)
    assert changed != before
    data[-2] ^= 2
    time.sleep(TICK)
    path.write_bytes(data)
    assert digest(copy) == before


def test_what_decides_nothing_changes_nothing(copy: Path) -> None:
    before = digest(copy)
    for name in ("README.md", ".gitattributes", "optimizer.bin", "other.safetensors", "notes.json"):
        (copy / name).write_text("words")
    (copy / "speech_tokenizer" / "tokenizer.json").write_text("{}")
    assert digest(copy) == before
    (copy / "added_tokens.json").write_text("{}")
    assert digest(copy) != before


def test_a_file_is_read_once(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    real = digests._hash
    monkeypatch.setattr(digests, "_hash", lambda path, stop: hashed.append(path.name) or real(path, stop))
    first = digest(copy)
    assert len(hashed) == COUNTED
    assert digest(copy) == first
    assert len(hashed) == COUNTED
    time.sleep(TICK)
    (copy / "config.json").touch()
    assert digest(copy) == first
    assert hashed[COUNTED:] == ["config.json"]


def test_a_file_of_this_very_moment_is_not_remembered(tmp_path: Path, cache: Path) -> None:
    shutil.copytree(DENSE, tmp_path / "new")
    digest(tmp_path / "new")
    assert not list(cache.rglob("*.json"))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"stamp": 1, "sha256": 7}', "{}", "null"])
def test_a_damaged_cache_is_no_cache(copy: Path, cache: Path, content: str) -> None:
    before = digest(copy)
    notes = list((cache / "digests").iterdir())
    assert len(notes) == COUNTED
    for note in notes:
        note.write_text(content)
    assert digest(copy) == before


def test_a_cache_that_cannot_be_written(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(copy)
    monkeypatch.setenv("EVALKIT_CACHE", str(copy / "config.json"))
    assert digest(copy) == before


def test_links_as_a_hub_cache_has_them_are_hashed_all_the_same(copy: Path, tmp_path: Path) -> None:
    before = digest(copy)
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "0f" / "c"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for path in copy.iterdir():
        if path.is_file():
            blob = blobs / hashlib.sha256(path.read_bytes()).hexdigest()
            shutil.copy(path, blob)
            (snapshot / path.name).symlink_to(blob)
    assert digest(snapshot) == before
    time.sleep(TICK)
    blob = (snapshot / SINGLE).resolve()
    blob.write_bytes(blob.read_bytes()[:-1] + b"\x01")
    assert digest(snapshot) != before


def test_a_line_is_said_when_there_is_much_to_hash(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(digests, "_TELL_FROM", 1000)
    digest(copy)
    digest(copy)
    said = capsys.readouterr().err
    assert said.count("\n") == 1, "once"
    assert "hashing the checkpoint (0.0 GB, once: kept in" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read(copy: Path) -> None:
    (copy / "config.json").chmod(0)
    with pytest.raises(UsageError, match=r"config\.json can't be read"):
        digest(copy)


def test_no_weights_no_digest(copy: Path) -> None:
    (copy / SINGLE).unlink()
    with pytest.raises(UsageError, match="no weights"):
        digest(copy)
    (copy / SINGLE).symlink_to(copy / "gone")
    with pytest.raises(UsageError, match="no weights"):
        weight_files(copy)


# --- where it is ---------------------------------------------------------------------------------


def test_a_folder_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "_from_hub", lambda *_: pytest.fail("the hub is not to be asked"))
    assert resolve(str(DENSE)) == DENSE
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve("owner/name") == Path("owner/name")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/owner/name") == tmp_path / "owner" / "name"


@pytest.mark.parametrize(
    "model", ["/no/such", "./no", "no", "a/b/c", "~nobody-here/x", "a/b@", "", "../a/b", "a b/c"]
)
def test_what_is_neither_a_folder_nor_a_hub_id(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "_from_hub", lambda *_: pytest.fail("the hub is not to be asked"))
    with pytest.raises(UsageError, match="give its folder, or OWNER/NAME"):
        resolve(model)


def test_a_name_that_no_file_system_takes() -> None:
    with pytest.raises(UsageError, match="can't be read"):
        resolve("a" * 5000)


def test_offline_only_the_local_cache_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    asked: list[tuple[str, dict[str, Any]]] = []

    def download(repo: str, **options: Any) -> str:
        asked.append((repo, options))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert resolve("Owner/Name-8B@v1.0") == tmp_path
    (repo, options), = asked  # fmt: skip
    assert (repo, options["revision"], options["local_files_only"]) == ("Owner/Name-8B", "v1.0", True)
    assert not any(p.endswith((".bin", ".pt")) for p in options["allow_patterns"]), (
        "no pickle is even fetched"
    )


def test_a_checkpoint_that_is_not_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        UsageError, match=r"no folder Owner/Name@v1, the local hub cache .* we are offline"
    ) as caught:
        resolve("Owner/Name@v1")
    assert "\n" not in str(caught.value)


def test_whatever_the_hub_raises_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.delenv("EVALKIT_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    def download(repo: str, **options: Any) -> str:
        raise RuntimeError("401 Client Error.\nmore lines")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(
        UsageError, match=r"the hub does not give it: 401 Client Error; check the name"
    ) as caught:
        resolve("Owner/Name")
    assert "\n" not in str(caught.value)
