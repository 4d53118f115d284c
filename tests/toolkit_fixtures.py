"""Toolkits made up for tests: texts of our own in the places of the official ones, laid out as real checkouts are.

`made_up` patches the digests in the heads of the rubrics, so that these texts are what is looked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import evalkit.cli.prompts  # noqa: F401  # before anything is patched
import judges.prompts
from judges.official import fill, public_texts
from judges.prompts import StandsFor, load_rubric


@pytest.fixture
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store."""
    monkeypatch.setenv("EVALKIT_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config" / "prompts"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def made_text(public: StandsFor) -> str:
    """A text of ours with the placeholders of an official one, in its syntax."""
    names = [*public.fixed, *public.fields]
    mark = f"made up for {public.sha256[:8]}"
    if public.fill == "jinja":
        return f"One line, {mark}. Asked: {{{{ {names[0]} }}}} It's said: {{{{{names[1]}}}}}"
    body = "".join(f"[{n}] {{{n}}}\n" for n in names)
    if public.fill == "fstring":
        return f"\nGrade this, {mark}.\\n{{{{keep}}}}\n{body}"
    if "api_judge" in public.what and "strip" in public.what:
        return f"{mark} \n{body}".strip()
    if public.what.startswith("VStyle"):
        return f"{mark} – ’quoted’\n{body}# Speech"
    return f"\nGrade this, {mark}.\n{body}" + ("" if "alpaca" in public.what else "\n")


@contextmanager
def made_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Within it, made-up texts are the official ones.

    Yields:
        the made-up text of every real sha256.
    """
    real = public_texts()
    texts = {sha256: made_text(public) for sha256, public in real.items()}
    renamed = {sha256: digest(text) for sha256, text in texts.items()}
    for sha256, public in real.items():
        if public.rendered is not None:
            filled = fill(texts[sha256], public.fill, {**public.rendered.fields, **public.fixed})
            renamed[public.rendered.sha256] = digest(filled)
    as_it_is = judges.prompts.rubric_file

    def patched(name: str) -> str:
        text = as_it_is(name)
        for old, new in renamed.items():
            text = text.replace(old, new)
        return text

    with monkeypatch.context() as patch:
        patch.setattr(judges.prompts, "rubric_file", patched)
        load_rubric.cache_clear()
        try:
            yield texts
        finally:
            load_rubric.cache_clear()


def checkout(root: Path, texts: dict[str, str]) -> Path:
    """These texts where the toolkits have them: constants, dicts, functions, YAML, text files, Python 2."""
    by_what = {public.what: texts[sha256] for sha256, public in REAL.items()}
    _write(root / "VoiceBench/api_judge.py", _python_constants(by_what, "VoiceBench api_judge.py"))
    _write(
        root / "kimi/almeval/datasets/ds_openqa.py",
        _implicit(by_what["Kimi-Audio-Evalkit ds_openqa.py OPEN_QA_PROMPT"]),
    )
    _write(root / "kimi/almeval/datasets/ds_refqa.py", _dict(by_what))
    _write(
        root / "kimi/almeval/datasets/ds_mqa.py",
        'print "Python 2"\nSINGLE_CHOICE_PRPMPT = """'
        + by_what["Kimi-Audio-Evalkit ds_mqa.py SINGLE_CHOICE_PRPMPT"]
        + '"""\n',
    )
    chat = by_what["UltraEval-Audio registry/prompt/chatbot.yaml chatbot-eval (parsed scalar)"]
    folded = chat.replace("'", "''").replace(". ", ".\n      ")
    _write(
        root / "ultraeval/registry/prompt/chatbot.yaml",
        f"chatbot-eval:\n  class: x\n  args:\n    template: '{folded}'\n",
    )
    body = by_what["MMAU-Pro evaluate_mmau_pro_comprehensive.py create_evaluation_prompt"]
    _write(
        root / "mmaupro/evaluate_mmau_pro_comprehensive.py",
        "def create_evaluation_prompt(question, reference_answer, model_response, task_type):\n"
        f'    context = "x"\n    return f"""{body}"""\n',
    )
    for what, text in by_what.items():
        if what.startswith("VStyle "):
            path = root / "vstyle" / what.partition(" ")[2]
            path.parent.mkdir(parents=True, exist_ok=True)
            variants = {
                "instruction": text.replace("\n", "\r\n"),
                "empathy": "\ufeff" + text,
                "role_play": text + "\n",
            }
            path.write_bytes(variants.get(path.stem, text).encode())
    return root


REAL = public_texts()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _python_constants(by_what: dict[str, str], start: str) -> str:
    out = ["# -*- coding: utf-8 -*-"]
    for what, text in by_what.items():
        if what.startswith(start):
            strip = ".strip()" if "strip" in what else ""
            pad = "\n" if strip else ""
            out.append(f'{what.removesuffix(", stripped").split()[-1]} = """{pad}{text}{pad}"""{strip}')
    return "\n".join(out) + "\n"


def _implicit(text: str) -> str:
    """A constant of neighbouring literals."""
    half = len(text) // 2
    return f"class A:\n    OPEN_QA_PROMPT = ({text[:half]!r}\n        {text[half:]!r})\n"


def _dict(by_what: dict[str, str]) -> str:
    """A dict in a module, its values joined by backslashes at line ends, and one constant."""
    name = "Kimi-Audio-Evalkit ds_refqa.py "
    held = {w.removeprefix(name): t for w, t in by_what.items() if w.startswith(name)}
    constant = held.pop("SQ_QA_PROMPT")
    lines = [f"    {json.dumps(k.split()[1])}: '''{t[:9]}\\\n{t[9:]}''',\n" for k, t in held.items()]
    return f"SQ_QA_PROMPT = {constant!r}\nOpenAudioBench_PROMPTS = {{\n{''.join(lines)}}}\n"
