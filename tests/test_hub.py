"""The hub at a resolved commit, and the layouts that only the `datasets` library can explain."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evalkit.audio import decode, encode_wav
from evalkit.errors import UsageError
from evalkit.sources import DataOptions, HubData, Row, open_source

SPEC = HubData("hlt-lab/voicebench", "sd-qa", ("usa",))
COMMIT = "9f1c" * 10
SOUND = encode_wav([0.25] * 100, 16000)  # type: ignore[arg-type]


def rows_of(spec: HubData, folder: Path) -> list[Row]:
    return list(open_source(spec, DataOptions(data_dir=str(folder)), task="bench/sub").rows())


def parquet(file: Path, rows: list[dict[str, Any]]) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), file)


@pytest.fixture(autouse=True)
def pickle_left_as_it_was() -> Iterator[None]:
    """`datasets` loads dill, which changes how everybody's pickles are written: undone for other tests."""
    yield
    if dill := sys.modules.get("dill"):
        dill.extend(use_dill=False)


# --- the hub -------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The three calls we make of `huggingface_hub`, answered from a folder named for its commit."""
    library = pytest.importorskip("huggingface_hub")
    for name in ("EVALKIT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    fake = SimpleNamespace(root=tmp_path / COMMIT, downloads=[], asked=[], error=None)

    class Api:
        def dataset_info(self, repo: str, revision: str) -> SimpleNamespace:
            if fake.error:
                raise fake.error
            fake.asked.append((repo, revision))
            return SimpleNamespace(sha=COMMIT)

    def download(repo: str, **given: Any) -> str:
        if fake.error:
            raise fake.error
        fake.downloads.append((repo, given))
        return str(fake.root)

    monkeypatch.setattr(library, "HfApi", Api)
    monkeypatch.setattr(library, "snapshot_download", download)
    fake.root.mkdir()
    fake.put = lambda: parquet(fake.root / "sd-qa" / "usa-00000-of-00001.parquet", [{"id": "a"}])
    return fake


@pytest.mark.parametrize("asked", [None, "v1.0"])
def test_the_resolved_commit_is_read_and_recorded(hub: SimpleNamespace, asked: str | None) -> None:
    hub.put()
    source = open_source(SPEC, DataOptions(revision=asked), task="t/t")
    assert hub.asked == [("hlt-lab/voicebench", asked or "main")]
    assert hub.downloads[0][1]["revision"] == COMMIT
    assert "sd-qa/usa-*.parquet" in hub.downloads[0][1]["allow_patterns"]
    assert (source.describe()["revision"], source.describe()["kind"]) == (COMMIT, "hub")
    assert [r["id"] for r in source.rows()] == ["a"]


def test_offline_reads_the_cache_and_asks_nobody(
    hub: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    source = open_source(SPEC, DataOptions(), task="t/t")
    assert hub.asked == [] and hub.downloads[0][1]["local_files_only"] is True
    assert (source.describe()["revision"], source.describe()["kind"]) == (COMMIT, "hub-cache")


def test_offline_without_a_copy(hub: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    monkeypatch.setenv("EVALKIT_OFFLINE", "1")
    with pytest.raises(UsageError, match=r"holds hlt-lab/voicebench@9f1c.* without the files of sd-qa/usa"):
        open_source(SPEC, DataOptions(), task="t/t")
    hub.error = LocalEntryNotFoundError("nothing here")
    with pytest.raises(UsageError, match=r"not in the local hub cache and we are offline.*--data-dir"):
        open_source(SPEC, DataOptions(), task="t/t")


class StrangeHttpError(Exception):
    """The hub's HTTP client has changed thrice; its errors are of no class we know."""


@pytest.mark.parametrize(
    "error", [StrangeHttpError("no such host\nmore"), OSError("no such host"), ValueError("no such host")]
)
def test_an_unreachable_hub_is_one_sentence(hub: SimpleNamespace, error: Exception) -> None:
    hub.error = error
    with pytest.raises(UsageError) as caught:
        open_source(SPEC, DataOptions(), task="t/t")
    said = str(caught.value)
    assert said.startswith("t/t: hlt-lab/voicebench@main can't be read: no such host. ")
    assert "HF_TOKEN" in said and "--data-dir" in said and "\n" not in said


def test_streaming_reads_parquet_by_address(hub: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    hub.put()
    name = f"datasets/hlt-lab/voicebench@{COMMIT}"

    class FileSystem:
        def glob(self, pattern: str) -> list[str]:
            inner = pattern.removeprefix(f"hf://{name}/")
            assert inner != pattern
            return [f"{name}/{p.relative_to(hub.root)}" for p in hub.root.glob(inner)]

        def open(self, address: str) -> Any:
            return (hub.root / address.removeprefix(f"hf://{name}/")).open("rb")

    monkeypatch.setattr(huggingface_hub, "HfFileSystem", FileSystem)
    parquet(hub.root / "sd-qa" / "usa-00000-of-00001.parquet", [{"audio": {"bytes": SOUND, "path": "a.wav"}}])
    source = open_source(SPEC, DataOptions(stream=True), task="t/t")
    assert (source.describe()["revision"], source.describe()["kind"]) == (COMMIT, "hub-stream")
    assert hub.downloads == []
    audio = next(source.rows()).audio()
    assert audio.data == SOUND
    assert audio.origin == f"hf://{name}/sd-qa/usa-00000-of-00001.parquet#row=0&column=audio"


@pytest.mark.parametrize("stream", [False, True])
def test_a_hub_data_set_in_an_odd_layout_goes_to_datasets(
    hub: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    datasets = pytest.importorskip("datasets", reason='needs datasets: pip install "evalkit[data]"')
    import huggingface_hub

    parquet(hub.root / "odd" / "rows.parquet", [{"id": "a", "audio": {"bytes": SOUND, "path": "x.wav"}}])
    real, calls = datasets.load_dataset, []

    def load(place: str, config: str, **given: Any) -> Any:
        calls.append((place, config, given))
        return real(str(hub.root / "odd"), split="train", streaming=True)

    monkeypatch.setattr(
        huggingface_hub, "HfFileSystem", lambda: SimpleNamespace(glob=lambda p: [], open=None)
    )
    monkeypatch.setattr(datasets, "load_dataset", load)
    source = open_source(SPEC, DataOptions(stream=stream), task="t/t")
    assert calls == [("hlt-lab/voicebench", "sd-qa", {"split": "usa", "revision": COMMIT, "streaming": True})]
    assert (source.describe()["revision"], source.describe()["kind"]) == (COMMIT, "hub-stream")
    got = list(source.rows())
    assert [(r["id"], r.split, r.audio().data) for r in got] == [("a", "usa", SOUND)]


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", None)
    with pytest.raises(UsageError, match=r"evalkit\[data\].*--data-dir"):
        open_source(SPEC, DataOptions(), task="t/t")


# --- odd layouts, through `datasets` -------------------------------------------------------------

CARD = """---
configs:
- config_name: sd-qa
  data_files:
  - split: usa
    path: sd-qa/data.parquet
  - split: aus
    path: elsewhere/*.parquet
dataset_info:
- config_name: sd-qa
  features:
  - name: id
    dtype: string
  - name: audio
    dtype: audio
---
"""


@pytest.fixture
def datasets() -> Any:
    return pytest.importorskip("datasets", reason='needs datasets: pip install "evalkit[data]"')


def odd_copy(folder: Path) -> None:
    """A data file per configuration, as its card explains."""
    for name, who in (("sd-qa/data", "u"), ("elsewhere/one", "a")):
        rows = [
            {"id": f"{who}{i}", "audio": {"bytes": SOUND + bytes([i]), "path": f"{i}.wav"}} for i in range(20)
        ]
        parquet(folder / f"{name}.parquet", rows)
    (folder / "README.md").write_text(CARD)


@pytest.mark.parametrize("below", ["hlt-lab/voicebench", "voicebench", "."])
def test_a_card_explains_where_the_files_are(datasets: Any, tmp_path: Path, below: str) -> None:
    odd_copy(tmp_path / below)
    source = open_source(
        HubData("hlt-lab/voicebench", "sd-qa", ("usa", "aus")),
        DataOptions(data_dir=str(tmp_path)),
        task="t/t",
    )
    got = list(source.rows())
    assert [r["id"] for r in got] == [f"{w}{i}" for w in "ua" for i in range(20)]
    assert [r.number for r in got] == [*range(20), *range(20)]
    assert {r.split for r in got[20:]} == {"aus"}
    assert [r.audio().data for r in got[:3]] == [SOUND + bytes([i]) for i in range(3)]
    assert source.describe()["kind"] == "local"


def test_a_folder_of_sounds(datasets: Any, tmp_path: Path) -> None:
    """datasets' own layout for audio: a table beside the files it names."""
    folder = tmp_path / "llama-questions" / "test"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (folder / f"{name}.wav").write_bytes(SOUND)
    (folder / "metadata.csv").write_text("file_name,Answer\na.wav,Paris\nb.wav,Rome\n")
    got = rows_of(HubData("TwinkStart/llama-questions"), tmp_path)
    assert sorted(r["Answer"] for r in got) == ["Paris", "Rome"]
    for r in got:
        assert r.audio().data is None and Path(str(r.audio().path)).parent == folder
        assert len(decode(r.audio())[0]) == 100


def test_sounds_in_an_archive(datasets: Any, tmp_path: Path) -> None:
    folder = tmp_path / "llama-questions"
    folder.mkdir()
    with zipfile.ZipFile(folder / "test.zip", "w") as archive:
        archive.writestr("a.wav", SOUND)
        archive.writestr("metadata.csv", "file_name,Answer\na.wav,Paris\n")
    (row,) = rows_of(HubData("TwinkStart/llama-questions"), tmp_path)
    assert (row["Answer"], row.audio().data, row.audio().format) == ("Paris", SOUND, "wav")


@pytest.mark.parametrize("path", ["/etc/passwd", "file:///etc/passwd", "zip://x::/etc/passwd", "../../x.wav"])
def test_an_address_in_a_row_can_not_name_any_file(datasets: Any, tmp_path: Path, path: str) -> None:
    rows = [{"id": "a", "audio": {"bytes": None, "path": path}}]
    odd_copy(tmp_path)
    parquet(tmp_path / "sd-qa" / "data.parquet", rows)
    (row,) = rows_of(SPEC, tmp_path)
    try:
        audio = row.audio()
    except UsageError as exc:
        assert "leaves its folder" in str(exc) or "is an address" in str(exc)
    else:
        assert audio.data is None and str(audio.path).startswith(str(tmp_path))


def test_rows_are_streamed(datasets: Any, tmp_path: Path) -> None:
    odd_copy(tmp_path)
    source = open_source(SPEC, DataOptions(data_dir=str(tmp_path)), task="t/t")
    first = next(source.rows())
    assert first["id"] == "u0"
    assert next(source.rows())["id"] == "u0", "a source can be read again"


def test_what_datasets_can_not_load_either_is_told_in_one_sentence(datasets: Any, tmp_path: Path) -> None:
    odd_copy(tmp_path)
    with pytest.raises(UsageError) as caught:
        rows_of(HubData("hlt-lab/voicebench", "sd-qa", ("mars",)), tmp_path)
    said = str(caught.value)
    assert said.startswith("bench/sub: found no sd-qa/mars") and "`datasets` can't load it either" in said
    assert "\n" not in said


def test_a_file_that_breaks_on_the_way(datasets: Any, tmp_path: Path) -> None:
    odd_copy(tmp_path)
    (tmp_path / "sd-qa" / "data.parquet").write_bytes(b"PAR1 junk")
    with pytest.raises(UsageError, match=r"hlt-lab/voicebench, split usa|can't load it either"):
        rows_of(SPEC, tmp_path)


def test_another_data_set_in_the_folder_is_not_taken_for_this_one(datasets: Any, tmp_path: Path) -> None:
    """`datasets` would gather every file called test below a folder, whatever data set it belongs to."""
    parquet(tmp_path / "other" / "set" / "test-00000-of-00001.parquet", [{"id": "wrong"}])
    with pytest.raises(UsageError, match=r"found no split/test of TwinkStart/llama-questions"):
        rows_of(HubData("TwinkStart/llama-questions"), tmp_path)


def test_without_datasets_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "voicebench").mkdir()
    with pytest.raises(
        UsageError, match=r'Expected e\.g\. .* Other layouts need pip install "evalkit\[data\]"'
    ):
        rows_of(SPEC, tmp_path)
