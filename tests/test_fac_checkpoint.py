"""A Fun-Audio-Chat checkpoint's weights: every key accounted for, and files that are torn, or none."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalkit.errors import UsageError
from evalkit.runners.fun_audio_chat.folder.checkpoint import load_state
from evalkit.runners.fun_audio_chat.folder.config import read_config
from evalkit.runners.fun_audio_chat.folder.shards import INDEX, SINGLE
from tests.fun_audio_chat_fixtures import FOLDERS, needs_torch

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
@pytest.mark.parametrize(("breaking", "said"), [b for b in BROKEN if "do not agree" not in b[1]])
def test_broken_folders_are_told_without_reading_weights(
    tmp_path: Path, breaking: Callable[[Path], Any], said: str
) -> None:
    import re

    from evalkit.runners.fun_audio_chat.folder.shards import check_whole

    at = folder(tmp_path / "c", "dense", shards=2)
    check_whole(at)
    breaking(at)
    with pytest.raises(UsageError) as caught:
        check_whole(at)
    assert re.search(said, str(caught.value)), caught.value


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
