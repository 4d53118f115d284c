"""A Fun-Audio-Chat checkpoint's weights: every key accounted for, torn files told, the folder's digest."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalkit.errors import UsageError
from evalkit.runners.fun_audio_chat import checkpoint, digests
from evalkit.runners.fun_audio_chat.checkpoint import digest, load_state, resolve
from evalkit.runners.fun_audio_chat.config import read_config
from evalkit.runners.fun_audio_chat.shards import INDEX, SINGLE, weight_files
from tests.fun_audio_chat_fixtures import DENSE, FOLDERS, needs_torch

if TYPE_CHECKING:
    from torch import Tensor

EMBEDDINGS, TIED = "audio_tower.embed_tokens.weight", "audio_invert_tower.lm_head.weight"
TEXT, TEXT_HEAD = "language_model.model.embed_tokens.weight", "language_model.lm_head.weight"
EXPERTS = "language_model.model.layers.{}.mlp.experts"
FIRST_LAYER, SECOND_LAYER = EXPERTS.format(0), EXPERTS.format(1)
PROJ = "continuous_audio_tower.proj.weight"


def expected(kind: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes in memory: those of the shapes file, the experts stacked."""
    shapes = json.loads((FOLDERS[kind] / "state_dict_shapes.json").read_text())
    out = {name: tuple(shape) for name, shape in shapes.items() if ".mlp.experts." not in name}
    for layer in range(2) if kind == "moe" else ():
        out[f"{EXPERTS.format(layer)}.gate_up_proj"] = (4, 48, 32)
        out[f"{EXPERTS.format(layer)}.down_proj"] = (4, 32, 24)
    return out


def stored(kind: str) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    held: dict[str, Tensor] = load_file(FOLDERS[kind] / SINGLE)
    return held


def folder(at: Path, kind: str, tensors: dict[str, Tensor] | None = None, shards: int = 0) -> Path:
    """A copy of a tiny checkpoint with these tensors, in one file or in shards with an index."""
    from safetensors.torch import save_file

    shutil.copytree(
        FOLDERS[kind], at, ignore=lambda *_: ["reference.npz", "speech_tokenizer", SINGLE], dirs_exist_ok=True
    )
    tensors = stored(kind) if tensors is None else tensors
    if not shards:
        save_file(tensors, at / SINGLE)
        return at
    names = list(tensors)
    where = {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        save_file({n: tensors[n] for n in names[i::shards]}, at / file)
        where |= dict.fromkeys(names[i::shards], file)
    (at / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
    return at


def load(at: Path, kind: str, **options: Any) -> dict[str, Tensor]:
    import torch

    config = replace(read_config(at), **options)
    return load_state(config, expected(kind), dtype=torch.float32, device="cpu")


def refused(at: Path, kind: str = "dense", **options: Any) -> str:
    """What is said of a checkpoint that does not load: one line."""
    with pytest.raises(UsageError) as caught:
        load(at, kind, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- loading -------------------------------------------------------------------------------------


@needs_torch
@pytest.mark.parametrize("shards", [0, 1, 3])
@pytest.mark.parametrize("kind", ["dense", "moe"])
def test_every_tensor_is_the_one_on_disk(tmp_path: Path, kind: str, shards: int) -> None:
    import torch

    disk = stored(kind)
    state = load(folder(tmp_path / "c", kind, shards=shards), kind)
    assert {n: tuple(t.shape) for n, t in state.items()} == expected(kind)
    assert {t.dtype for t in state.values()} == {torch.float32}
    for name in disk.keys() & state.keys():
        assert torch.equal(state[name], disk[name].float()), name
    assert state[TIED] is state[EMBEDDINGS]
    for layer in range(2) if kind == "moe" else ():
        stem = EXPERTS.format(layer)
        for e in range(4):
            gate, up, down = (disk[f"{stem}.{e}.{n}_proj.weight"].float() for n in ("gate", "up", "down"))
            assert torch.equal(state[f"{stem}.gate_up_proj"][e], torch.cat([gate, up]))
            assert torch.equal(state[f"{stem}.down_proj"][e], down)
    assert set(disk) - set(state) == {n for n in disk if ".experts." in n}, "nothing else is left on disk"


@needs_torch
def test_the_stored_type_is_kept_where_it_is_asked_for_and_is_no_view_of_the_file(tmp_path: Path) -> None:
    import torch

    at = folder(tmp_path / "c", "dense")
    state = load_state(read_config(at), expected("dense"), dtype=torch.bfloat16, device="cpu")
    before = state[PROJ].clone()
    with (at / SINGLE).open("r+b") as file:
        file.write(b"\0" * (at / SINGLE).stat().st_size)
    assert torch.equal(state[PROJ], before)


@needs_torch
def test_experts_that_are_stacked_already(tmp_path: Path) -> None:
    import torch

    disk = stored("moe")
    usual = load(folder(tmp_path / "a", "moe"), "moe")
    kept = {n: t for n, t in disk.items() if ".experts." not in n}
    fused = {n: t.bfloat16() for n, t in usual.items() if ".experts." in n}
    state = load(folder(tmp_path / "b", "moe", kept | fused), "moe")
    assert state.keys() == usual.keys()
    assert all(torch.equal(state[n], usual[n]) for n in usual)


# --- keys that do not fit ------------------------------------------------------------------------


@needs_torch
def test_missing_unexpected_and_misshapen_keys_are_named_in_one_sentence(tmp_path: Path) -> None:
    import torch

    disk = stored("dense")
    del disk["audio_tower.output_matching.weight"]
    disk["audio_tower.output_matching.bias"] = torch.zeros(64)
    disk[PROJ] = torch.zeros(64, 31)
    said = refused(folder(tmp_path / "c", "dense", disk))
    assert "missing: audio_tower.output_matching.weight;" in said
    assert "unexpected: audio_tower.output_matching.bias;" in said
    assert f"of another shape: {PROJ} [64, 31], not [64, 32]" in said


@needs_torch
def test_of_many_keys_ten_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    disk = {n: t for n, t in stored("dense").items() if not n.startswith("language_model.model.layers.")}
    said = refused(folder(tmp_path / "c", "dense", disk))
    assert said.count("language_model.model.layers.") == 10
    assert "and 12 more" in said


@needs_torch
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop(f"{SECOND_LAYER}.2.up_proj.weight"), f"missing: {SECOND_LAYER}.2.up_proj.weight"),
        (
            lambda t: [t.pop(n) for n in list(t) if n.startswith(FIRST_LAYER) and "down" in n],
            f"missing: {FIRST_LAYER}.down_proj",
        ),
        (
            lambda t: t.update({f"{FIRST_LAYER}.4.up_proj.weight": t[f"{FIRST_LAYER}.3.up_proj.weight"] + 1}),
            f"unexpected: {FIRST_LAYER}.4.up_proj.weight",
        ),
        (
            lambda t: t.update({f"{FIRST_LAYER}.0.up_proj.weight": t[f"{FIRST_LAYER}.0.down_proj.weight"] + 1}),
            f"of another shape: {FIRST_LAYER}.0.up_proj.weight [32, 24], not [24, 32]",
        ),
    ],
)  # fmt: skip
def test_an_expert_too_few_too_many_or_misshapen(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], Any], said: str
) -> None:
    disk = stored("moe")
    change(disk)
    assert said in refused(folder(tmp_path / "c", "moe", disk), "moe")


@needs_torch
def test_the_tied_speech_head_is_taken_when_it_is_equal_and_refused_when_it_is_not(tmp_path: Path) -> None:
    disk = stored("dense")
    disk[TIED] = disk[EMBEDDINGS].clone()
    state = load(folder(tmp_path / "c", "dense", disk, shards=2), "dense")
    assert state[TIED] is state[EMBEDDINGS]
    disk[TIED] = disk[EMBEDDINGS].float()
    load(folder(tmp_path / "d", "dense", disk), "dense")
    disk[TIED] = disk[EMBEDDINGS].clone()
    disk[TIED][6000, 3] += 1
    said = refused(folder(tmp_path / "e", "dense", disk))
    assert f"tied weights must be equal: {TIED} differs from {EMBEDDINGS}" in said
    disk[TIED] = disk[EMBEDDINGS][:-1].clone()
    assert f"of another shape: {TIED}" in refused(folder(tmp_path / "f", "dense", disk))


@needs_torch
def test_a_tied_matrix_may_be_stored_under_either_name(tmp_path: Path) -> None:
    disk = stored("dense")
    disk[TIED] = disk.pop(EMBEDDINGS)
    state = load(folder(tmp_path / "c", "dense", disk), "dense")
    assert state[TIED] is state[EMBEDDINGS]
    assert state[TIED].shape == (6565, 64)


@needs_torch
def test_a_tied_text_head(tmp_path: Path) -> None:
    disk = stored("dense")
    at = folder(tmp_path / "c", "dense", disk)
    assert f"{TEXT_HEAD} differs from {TEXT}" in refused(at, tied_text_head=True)
    disk.pop(TEXT_HEAD)
    at = folder(tmp_path / "d", "dense", disk)
    assert f"missing: {TEXT_HEAD}" in refused(at)
    state = load(at, "dense", tied_text_head=True)
    assert state[TEXT_HEAD] is state[TEXT]


# --- files ---------------------------------------------------------------------------------------


def _index(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def changed(at: Path) -> None:
        values = json.loads((at / INDEX).read_text())
        change(values)
        (at / INDEX).write_text(json.dumps(values))

    return changed


def _cut(at: Path) -> None:
    with (at / "model-00002-of-00002.safetensors").open("r+b") as file:
        file.truncate(100_000)


def _pickled(at: Path) -> None:
    (at / "model-00002-of-00002.safetensors").write_bytes(pickle.dumps(Bomb()))


class Bomb:
    """Unpickled, it would end the tests."""

    def __reduce__(self) -> Any:
        return os._exit, (86,)


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"
SECOND = "model-00002-of-00002.safetensors"
BROKEN: list[tuple[Callable[[Path], Any], str]] = [
    (_cut, r"torn or not a safetensors file"),
    (lambda at: (at / SECOND).write_bytes(b""), r"torn or not a safetensors file"),
    (lambda at: (at / SECOND).write_bytes(struct.pack("<Q", 2**60)), r"torn or not a safetensors file"),
    (_pickled, r"torn or not a safetensors file"),
    (lambda at: (at / SECOND).write_text(LFS), rf"{SECOND} is a git-lfs pointer.*git lfs pull"),
    (lambda at: (at / SECOND).unlink(), rf"names {SECOND}, not in the folder"),
    (lambda at: (at / INDEX).write_text(LFS), r"index\.json is not JSON"),
    (lambda at: (at / INDEX).write_text("{}"), r"weight_map is missing"),
    (lambda at: (at / INDEX).write_text('{"weight_map": {}}'), r"weight_map is empty"),
    (_index(lambda v: v["weight_map"].update({PROJ: "../x.safetensors"})), r"must name a \.safetensors file in the"),
    (_index(lambda v: v["weight_map"].update({PROJ: "model.bin"})), r"must name a \.safetensors file in the"),
    (_index(lambda v: v["weight_map"].update({PROJ: 7})), r"must name a \.safetensors file in the"),
    (_index(lambda v: v["weight_map"].pop(PROJ)), rf"do not agree about {PROJ}"),
    (_index(lambda v: v["weight_map"].update(none=SECOND)), r"do not agree about none"),
    (lambda at: shutil.copy(at / SECOND, at / SINGLE), r"has both model\.safetensors and model\.safetensors\.index"),
    (lambda at: [p.unlink() for p in at.glob("model*")], r"has no weights"),
]  # fmt: skip


@needs_torch
@pytest.mark.parametrize(("breaking", "said"), BROKEN)
def test_broken_folders(tmp_path: Path, breaking: Callable[[Path], Any], said: str) -> None:
    import re

    at = folder(tmp_path / "c", "dense", shards=2)
    breaking(at)
    assert re.search(said, refused(at)), refused(at)


@needs_torch
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_pickles_are_never_read(tmp_path: Path, name: str) -> None:
    at = folder(tmp_path / "c", "dense")
    (at / SINGLE).unlink()
    (at / name).write_bytes(pickle.dumps(Bomb()))
    assert f"has {name} and no model.safetensors: weights are read from safetensors only" in refused(at)


@needs_torch
def test_a_tensor_in_two_files_and_one_that_is_no_float(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    at = folder(tmp_path / "c", "dense", shards=2)
    save_file(stored("dense"), at / SECOND)
    assert "which one is meant?" in refused(at)
    disk = stored("dense")
    disk[PROJ] = torch.zeros(64, 32, dtype=torch.int8)
    assert f"quantised weights are not supported: {PROJ} (I8)" in refused(
        folder(tmp_path / "d", "dense", disk)
    )


# --- digest --------------------------------------------------------------------------------------

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
