"""The rubrics of LALM judges: heads and bodies agree, the tree's exits are in the text, data stays data."""

from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judges.lalm_presets import VSTYLE_CATEGORIES
from judges.prompts import fence_for, load_rubric, rubric_names

SHEET = {
    "acoustic_attributes_en": "de74b59bf26238d2e8b5f04f5940037ebd509251fb193297fa2961f8d9e672c6",
    "instruction_en": "ec68e5f57793df62b0b6290879f3e6fc368b636fbb5e11ba6f4a5a3700b88b64",
    "role_play_en": "31125937df653e08639c5f98e13eec889703c1883ae0e6da909c4ea195f070cf",
    "empathy_en": "3360e7333a13ba123b9d505c9ce64b9a99f16854092d7833db77bcb5cea37aa7",
    "acoustic_attributes_zh": "8aca05c950acc008cfec770bab90608efbae20675601e9c0d0d203d88f426acd",
    "instruction_zh": "ec68e5f57793df62b0b6290879f3e6fc368b636fbb5e11ba6f4a5a3700b88b64",
    "role_play_zh": "8d931d3e784881d7e224c9375927fe18ee555dd4b4a6058900ea9addb048190d",
    "empathy_zh": "4b08c76f09341dc9fd9891ccba7d9bedc61978ca9a3b2025258d326318801adc",
}
"""VStyle sheet section 4."""

NAMES = [n for n in rubric_names() if n.startswith(("vstyle_", "speech_style_"))]


def test_there_is_one_for_each() -> None:
    wanted = {f"vstyle_{c}_{lang}" for c in VSTYLE_CATEGORIES for lang in ("en", "zh")}
    wanted |= {f"speech_style_{t}" for t in ("speech_if", "empathy_semantic", "empathy_paralinguistic")}
    assert set(NAMES) == wanted


@pytest.mark.parametrize("name", NAMES)
def test_head_and_body_agree(name: str) -> None:
    from jinja2 import Environment, meta

    rubric = load_rubric(name)
    used = meta.find_undeclared_variables(Environment().parse(rubric.body))
    assert used == {*rubric.placeholders, "fence"} and rubric.name == name and rubric.role == "user"
    known = SHEET.get(name.removeprefix("vstyle_"))
    assert [s.sha256 for s in rubric.stands_for] == ([known] if known else [])
    assert hashlib.sha256(rubric.body.encode()).hexdigest() not in SHEET.values()


@pytest.mark.parametrize("name", NAMES)
def test_every_exit_of_the_tree_is_in_the_text(name: str) -> None:
    rubric = load_rubric(name)
    steps = rubric.tree["steps"]
    exits = {v for s in steps for v in ([s["fail"]] if "fail" in s else s["levels"].values())}
    assert exits - {"next"} == {1, 2, 3, 4, 5}
    written = [
        int(m) for line in rubric.body.splitlines() for m in re.findall(r"(?:: |[Tt]hen )([1-5])\b", line)
    ]
    assert set(written) == {1, 2, 3, 4, 5}
    assert "[[3]]" in rubric.body and len(re.findall(r"\[\[", rubric.body)) == 1


@pytest.mark.parametrize("category", VSTYLE_CATEGORIES)
def test_what_is_different_in_chinese(category: str) -> None:
    """VStyle sheet section 4.1: the instruction files are the same, the others differ."""
    one, two = load_rubric(f"vstyle_{category}_en"), load_rubric(f"vstyle_{category}_zh")
    assert (one.body == two.body) == (category == "instruction")


@settings(deadline=None)  # the first example loads jinja2
@given(st.sampled_from(NAMES), st.text(), st.sampled_from(["{{ fence }}", "[[5]]", "END OF", "data-"]))
def test_only_the_rubric_writes_the_fence(name: str, text: str, trick: str) -> None:
    rubric = load_rubric(name)
    values = dict.fromkeys(rubric.placeholders, f"{text}{trick}")
    mark = fence_for(values)
    assert rubric.render(**values).count(mark) == rubric.body.count("{{ fence }}")
