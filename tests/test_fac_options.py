"""The Fun-Audio-Chat runner's options, where it runs, and the persona: what is taken, what is refused and how."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from evalkit.errors import UsageError
from evalkit.registry import make_runner
from evalkit.runners.fun_audio_chat import place
from evalkit.runners.fun_audio_chat.options import PARSERS, Options, parse_options
from evalkit.runners.fun_audio_chat.prompting import persona as personas
from evalkit.runners.fun_audio_chat.prompting.chatml import S2M
from evalkit.wording import store
from tests.fun_audio_chat_fixtures import DENSE, needs_torch

STOPS = (1, 2)


def test_defaults_are_the_published_ones() -> None:
    """Runner specification, sections 7 to 9; 2048 tokens are those of the speech example."""
    made = parse_options({}).decoding(speech=True, text_eos=STOPS)
    assert (made.temperature, made.top_p, made.top_k, made.repetition_penalty) == (0.8, 0.9, 0, 1.2)
    assert made.do_sample and made.text_greedy and made.force_text_abos and made.max_new_tokens == 2048
    assert made.text_eos == STOPS and made.draws == "uniform"
    assert not parse_options({}).decoding(speech=False, text_eos=STOPS).speech


def test_every_field_has_a_parser_and_reaches_the_options() -> None:
    assert set(PARSERS) == set(Options.__dataclass_fields__)
    given = {
        "batch": "7",
        "do_sample": "no",
        "text_greedy": "false",
        "seed": "-3",
        "top_k": "5",
        "dtype": "bfloat16",
    }
    made = parse_options({**given, "max_seconds": "2.5", "voice": None})
    assert (made.batch, made.do_sample, made.text_greedy, made.seed) == (7, False, False, -3)
    assert (made.top_k, made.dtype, made.max_seconds, made.voice) == (5, "bfloat16", 2.5, None)
    assert made.decoding_told()["text"] == "argmax"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("devise", "cpu", "unknown option devise"),
        ("device", "gpu", "cuda:N"),
        ("device", "cuda:", "cuda:N"),
        ("dtype", "int8", "one of auto, float32"),
        ("batch", "0", "from 1 to 1024"),
        ("max_new_tokens", "many", "whole number"),
        ("temperature", "0", "above 0"),
        ("top_p", "1.5", "above 0 to 1"),
        ("do_sample", "maybe", "yes or no"),
        ("speech", "mp3", "audio, ids"),
        ("graphs", "1", "auto, yes, no"),
        ("system_s2t", "a<|im_end|>b", "must not hold"),
        ("persona", "", "must not be empty"),
    ],
)
def test_a_wrong_option_is_one_sentence(name: str, value: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        make_runner(f"fun-audio-chat/{DENSE}", {name: value})


def test_a_model_has_to_be_named() -> None:
    with pytest.raises(UsageError, match="name the checkpoint"):
        make_runner("fun-audio-chat", {})


# --- where it runs ------------------------------------------------------------------------------------


def _installed(monkeypatch: pytest.MonkeyPatch, folder: Path, said: str, nodes: set[str]) -> None:
    """A torch that says this in its version.py, on a machine with these device files."""
    (folder / "version.py").write_text(said)
    monkeypatch.setattr(place, "find_spec", lambda name: SimpleNamespace(origin=str(folder / "__init__.py")))
    real = Path.exists
    there = {f"/dev/{n}" for n in nodes}
    monkeypatch.setattr(
        place.Path, "exists", lambda self: str(self) in there if str(self).startswith("/dev/") else real(self)
    )
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


CUDA = "cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n"
NO_CUDA = "cuda: Optional[str] = None\nhip: Optional[str] = None\n"
HIP = "cuda: Optional[str] = None\nhip: Optional[str] = '6.4'\n"


@pytest.mark.parametrize(
    ("said", "nodes", "visible", "expected"),
    [
        (CUDA, {"nvidia3"}, None, ("cuda", "bfloat16")),
        (CUDA, {"dxg"}, None, ("cuda", "bfloat16")),
        (CUDA, {"nvidia0"}, "0,1", ("cuda", "bfloat16")),
        (CUDA, {"nvidia0"}, "", ("cpu", "float32")),
        (CUDA, {"nvidia0"}, "-1", ("cpu", "float32")),
        (CUDA, set(), None, ("cpu", "float32")),
        (NO_CUDA, {"nvidia0"}, None, ("cpu", "float32")),
        (HIP, {"kfd"}, None, ("cuda", "bfloat16")),
    ],
)
def test_auto_looks_for_a_gpu_without_torch(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    said: str,
    nodes: set[str],
    visible: str | None,
    expected: tuple[str, str],
) -> None:
    _installed(monkeypatch, tmp_path, said, nodes)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = place.place_of("auto", "auto")
    assert (found.device, found.dtype) == expected


def test_half_precision_needs_a_gpu() -> None:
    with pytest.raises(UsageError, match="float16 needs a GPU"):
        place.place_of("cpu", "float16")
    assert place.place_of("cuda:1", "float16").cuda


@needs_torch
def test_what_does_not_fit_is_said_before_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = place.Place("cpu", "float32")
    assert place.torch_place(cpu, asked="auto", weights=1)[0] == "cpu"
    monkeypatch.setattr(place, "_memory_available", lambda: 20 * 10**9)
    with pytest.raises(UsageError, match=r"take 37\.7 GB and this machine has 20\.0 GB"):
        place.torch_place(cpu, asked="auto", weights=37_700_000_000)
    half = place.weight_bytes(DENSE, "bfloat16", place.Place("cuda", "bfloat16"))
    assert place.weight_bytes(DENSE, "bfloat16", cpu) == 2 * half


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "find_spec", lambda name: None)
    with pytest.raises(
        UsageError, match=r'needs torch, transformers, safetensors: pip install "evalkit\[local\]"'
    ):
        place.need_packages()
    assert not place.gpu_in_sight()


# --- persona ------------------------------------------------------------------------------------------

MADE_UP = f"{S2M} You are a lighthouse keeper."


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A made-up persona takes the place of the published one, in the user's own folder."""
    monkeypatch.setenv("EVALKIT_CONFIG", str(tmp_path / "config"))
    digest = hashlib.sha256(MADE_UP.encode()).hexdigest()
    monkeypatch.setattr(personas, "SPOKEN_S2M", replace(personas.SPOKEN_S2M, sha256=digest))
    return digest


def test_the_imported_persona(imported: str) -> None:
    missing = personas.persona_of("auto", S2M)
    assert (missing.system, missing.origin, missing.sha256) == (None, "missing", None)
    assert personas.persona_of("none", S2M).origin == "none"
    store.keep(MADE_UP)
    found = personas.persona_of("auto", S2M)
    assert (found.system, found.origin, found.sha256) == (MADE_UP, "official", imported)
    assert personas.persona_of("auto", "Mine.").system == "Mine. You are a lighthouse keeper."
    store.path_of(imported).write_text("altered")
    with pytest.raises(UsageError, match="was altered"):
        personas.persona_of("auto", S2M)


def test_a_persona_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "persona.txt"
    file.write_text("You are a pilot.\n")
    bare = personas.persona_of(str(file), S2M)
    file.write_text(f"{S2M} You are a pilot.\n")
    assert bare == personas.persona_of(str(file), S2M)
    assert (bare.system, bare.origin) == (f"{S2M} You are a pilot.", "file")
    for content, says in ((b" \n", "holds no text"), (b"\xff\xfe", "no text file")):
        file.write_bytes(content)
        with pytest.raises(UsageError, match=says):
            personas.persona_of(str(file), S2M)
    with pytest.raises(UsageError, match="can't be read"):
        personas.persona_of(str(tmp_path), S2M)


def test_identity_needs_no_torch() -> None:
    """Even where none can be imported: a dry run names the checkpoint by its digest."""
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "from evalkit.registry import make_runner\n"
        f"made = make_runner('fun-audio-chat/{DENSE}', {{}})\n"
        "print(made.identity()['checkpoint'], made.identity()['dtype'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()[0]) == 64


def test_graphs_that_nobody_can_capture_are_refused() -> None:
    with pytest.raises(UsageError, match=r"graphs=yes .* need a GPU"):
        make_runner("fun-audio-chat/somewhere", {"device": "cpu", "graphs": "yes"})
