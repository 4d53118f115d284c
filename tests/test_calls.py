"""Function calling: the public scorers' verdicts and codes, the sheet's tables, and what is strict about ours."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.interfaces import Answer
from evalkit.records import Response, Sample, Verdict
from judges.calls import CallChecker, StrictCallChecker, strict
from judges.calls.bfcl import check as bfcl_check
from judges.calls.errors import CRASHES
from judges.calls.native import decode_native
from judges.calls.parsing import Call, decode
from judges.calls.schemas import faults, unwrapped
from judges.calls.values import same, standardised

HERE = Path(__file__).parent
OWN = HERE / "vectors" / "speech_fc.bfcl.jsonl"
READ = HERE.parent.parent / "shared" / "vectors" / "speech_fc.acebench.jsonl"

JSONValue = Any


def vectors(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


def tool(name: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    parameters = {"type": "dict", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": "", "parameters": parameters}}


def said(*calls: tuple[str, Any]) -> str:
    """Calls as the text of a response."""
    return "\n".join(
        f"<tool_call>\n{json.dumps({'name': n, 'arguments': a}, ensure_ascii=False)}\n</tool_call>"
        for n, a in calls
    )


def judged(
    style: Any, tools: Any, target: Any, text: str = "", category: Any = "multiple", **more: Any
) -> tuple[Verdict, Verdict]:
    """The public verdict and the strict one."""
    names = more.pop("names", "exact")
    sample = Sample("s", "t/t", (), target=target, tools=tuple(tools))
    answer = Answer(text, Response("s", text=text, **more))
    [public] = CallChecker(style, category, names).score(sample, answer)
    [ours] = StrictCallChecker(style, names).score(sample, answer)
    for verdict in (public, ours):  # whatever was said, a score can be written and read by any JSON parser
        json.dumps(verdict.detail, allow_nan=False)
    return public, ours


# --- the public scorers' verdicts ----------------------------------------------------------------


def agrees(vector: dict[str, Any]) -> None:
    public, _ = judged(
        vector["scorer"],
        json.loads(vector["function"]),
        json.loads(vector["ground_truth"]),
        vector["predict"],
        vector["test_category"],
        names="underscore" if vector.get("gpt_4o") or "gpt-4o" in vector.get("model_name", "") else "exact",
    )
    if vector["valid"] is None:
        assert (public.value, public.detail["error_type"], public.touched) == (0.0, *["checker_crash"] * 2)
    else:
        assert (public.value == 1.0, public.detail["error_type"]) == (vector["valid"], vector["error_type"])
        assert public.touched is None


@pytest.mark.parametrize("vector", vectors(OWN), ids=lambda v: f"{v['id']}-{v['variant'][:24]}")
def test_every_bfcl_vector(vector: dict[str, Any]) -> None:
    agrees(vector)


def test_there_are_bfcl_vectors() -> None:
    assert len(vectors(OWN)) == 231


@pytest.mark.skipif(not READ.is_file(), reason="quotes a public data set: read where it lies, never copied")
def test_every_acebench_vector() -> None:
    found = vectors(READ)
    for vector in found:
        agrees(vector)
    assert len(found) == 119


@pytest.mark.parametrize(
    "vector", [v for v in vectors(OWN) if v["valid"] is None], ids=lambda v: v["variant"]
)
def test_what_crashes_is_known_at_load(vector: dict[str, Any]) -> None:
    assert faults(json.loads(vector["function"]), json.loads(vector["ground_truth"]), vector["scorer"])


def test_what_does_not_crash_has_no_fault() -> None:
    for v in vectors(OWN):
        if v["valid"]:
            assert faults(json.loads(v["function"]), json.loads(v["ground_truth"]), v["scorer"]) == []


# --- section 4: reading a prediction -------------------------------------------------------------

GOOD = '{"name": "f", "arguments": {"a": 1}}'
ONE = [("f", {"a": 1})]


def tagged(body: str) -> str:
    return f"<tool_call>{body}</tool_call>"


@pytest.mark.parametrize(
    ("text", "calls", "dropped"),
    [
        (f"{tagged(GOOD)}<|im_end|>", ONE, 0),
        (f"Sure.\n```\n<tool_call>\n{GOOD}\n</tool_call>\n``` done<|endoftext|>", ONE, 0),
        (f"<tool_call>\u3000\u00a0\r\n{GOOD}\n\u2003</tool_call>", ONE, 0),
        (tagged('{\n  "name": "f",\n  "arguments": {\n    "a": 1\n  }\n}'), ONE, 0),
        (tagged(f"```json\n{GOOD}\n```"), [], 0),
        (tagged(f"// call\n{GOOD}"), [], 0),
        (tagged(f"[{GOOD}]"), [], 0),
        (f"<TOOL_CALL>{GOOD}</TOOL_CALL>", [], 0),
        (f"<tool>{GOOD}</tool>", [], 0),
        (f"<tool_call>{GOOD}", [], 0),
        (GOOD, [], 0),
        (tagged('{"name": "f", "arguments": {"a": 1,}}'), [], 1),
        (tagged("{'name': 'f', 'arguments': {'a': 1}}"), [], 1),
        (tagged('{"name": "f", "arguments": {"a": True}}'), [], 1),
        (tagged(GOOD + "}"), [], 1),
        (tagged('{"name": "f", "arguments": {"a": 1}'), [], 1),
        (tagged('{"name": "f", "arguments": {"a": "x\ny"}}'), [], 1),
        (tagged(f"{GOOD}\n{GOOD}"), [], 1),
        (f"<tool_call>{{ oh <tool_call>{GOOD}</tool_call>", [], 1),
        (tagged(GOOD) + tagged(GOOD), ONE * 2, 0),
        (tagged('{"name": null, "arguments": {}}'), [(None, {})], 0),
        (tagged(r'{"name": "f", "arguments": {"a": "x\ny"}}'), [("f", {"a": "x y"})], 0),
        (tagged(r'{"name": "f", "arguments": {"a": "C:\\new"}}'), [], 1),
        (tagged(r'{\n"name": "f", \n "arguments": {"a": 1}}'), ONE, 0),
        (tagged('{"name": "f", "arguments": {"a": "}</tool_call>"}}'), [], 1),
        (tagged('{"name": "f", "arguments": [{"a": 1}]}'), ONE, 0),
        (tagged('{"name": "g", "name": "f", "arguments": {"a": 1}, "id": 7}'), ONE, 0),
        (tagged('{"name": "f", "arguments": {"a": Infinity}}'), [("f", {"a": float("inf")})], 0),
        (tagged('{"name": "f", "arguments": {"a": ' + "[" * 20000 + "}}"), [], 1),
        (tagged('{"name": "f", "arguments": {"a": ' + "9" * 5000 + "}}"), [], 1),
        ("", [], 0),
        ("I can't do that.", [], 0),
    ],
)  # fmt: skip
def test_what_is_read(text: str, calls: list[Any], dropped: int) -> None:
    found = decode(text)
    assert found.calls == tuple(Call(*c) for c in calls) and found.dropped == dropped


@pytest.mark.parametrize(
    "body",
    [
        '{"name": "f"}', '{"arguments": {}}', '{"name": "f", "arguments": "{}"}', '{"name": "f", "arguments": null}',
        '{"name": "f", "arguments": [{}, {}]}', '{"name": "f", "arguments": []}', '{"name": "f", "arguments": [1]}',
        '{"name": ["f"], "arguments": {}}', '{"name": {}, "arguments": {}}', '{"name": "f", "parameters": {}}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("others", ["", tagged(GOOD)])
def test_what_spoils_a_record(body: str, others: str) -> None:
    assert decode(others + tagged(body) + others).calls is None
    for verdict in judged("bfcl", [tool("f", {}, [])], [{"f": {}}], tagged(body)):
        assert verdict.value == 0 and verdict.detail["error_type"] == "ast_decoder:decoder_failed"


@pytest.mark.parametrize("prediction", [None, 1, [], {}])
def test_a_prediction_that_is_no_text(prediction: Any) -> None:
    assert decode(prediction).calls is None


PIECES = st.lists(
    st.sampled_from(["<tool_call>", "</tool_call>", "{", "}", GOOD, " ", "\n", "\\n", '"', "<", "x", "NaN"]),
    max_size=30,
).map("".join)


@given(st.text(max_size=200) | PIECES)
def test_reading_never_raises(text: str) -> None:
    assert decode(text).calls is None or all(isinstance(c.arguments, dict) for c in decode(text).calls or ())
    judged("acebench", [tool("f", {}, [])], {"f": {}}, text)


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>{" * 40_000, "<tool_call>" * 40_000 + "{", "<tool_call>{" + "} " * 200_000,
        "<tool_call>{" + "}" + " " * 400_000, "<tool_call>" + " " * 400_000, "<tool_call>{}" * 40_000,
        ("<tool_call>" + " " * 100 + "{}" + " " * 100) * 2_000, "<tool_call>{</tool_call>" * 20_000,
    ],
    ids=range(8),
)  # fmt: skip
def test_reading_is_linear(text: str) -> None:
    start = time.process_time()
    decode(text)
    assert time.process_time() - start < 1.0


# --- section 11: small vectors -------------------------------------------------------------------

ARRAY_INT = {"type": "array", "items": {"type": "integer"}}
ARRAY_DICT = {"type": "array", "items": {"type": "dict"}}
OMITTED = object()
SIMPLE, UNION = "simple_function_checker", "value_error"
BFCL_TABLE = [
    ("string", ["xy"], "X-y.", "correct"),
    ("string", ["xy"], "x:y", f"{UNION}:string"),
    ("string", ["xy"], "x\ty", f"{UNION}:string"),
    ("string", ["xy"], "x\u3000y", f"{UNION}:string"),
    ("string", ["it's"], 'it"s', "correct"),
    ("?string", ["x", ""], OMITTED, "correct"),
    ("?string", ["x", ""], "", "correct"),
    ("?string", ["x", ""], "-", "correct"),
    ("?string", ["x"], OMITTED, f"{SIMPLE}:missing_optional"),
    *(("integer", [3], value, "type_error:simple") for value in (3.0, "3", True, None)),
    ("float", [3.0], 3, "correct"),
    ("number", [3.5], 3.5, "correct"),
    ("number", [3.5], 3, f"{UNION}:others"),
    ("any", [3], 3, "correct"),
    ("any", [3], "3", f"{UNION}:others"),
    (ARRAY_INT, [[1, 2]], [2, 1], f"{UNION}:list/tuple"),
    (ARRAY_INT, [[1, 2]], ["1", "2"], "type_error:nested"),
    (ARRAY_INT, [[1, 2], ""], [], "correct"),
    (ARRAY_INT, [[1, 2], ""], ["a"], f"{UNION}:list/tuple"),
    ("dict", [{"k": ["v", ""]}], {}, "correct"),
    ("dict", [{"k": ["v", ""]}], {"z": 1}, f"{UNION}:dict_key"),
    ("dict", [{"k": [{"m": ["v"]}]}], {"k": {"m": "v"}}, f"{UNION}:dict_value"),
    ("dict", [""], {}, "dict_checker:unclear"),
    ("object", [{"k": ["v"]}], 5, "correct"),
    (ARRAY_DICT, [[{"k": ["v"]}, {"k": ["w"]}]], [{"k": "w"}, {"k": "v"}], f"{UNION}:dict_value"),
    (ARRAY_DICT, [[{"k": ["v"]}], ""], [{"k": "w"}], f"{UNION}:list_dict_count"),
]
ACE_TABLE = [
    ("string", "x", "axb", "correct"),
    ("string", "x", "a", f"{UNION}:string"),
    ("string", "true", "true", "type_error"),
    ("string", "true", "TRUE", "correct"),
    ("integer", 3, 4, "correct"),
    ("integer", 3, 3.0, "correct"),
    ("integer", 3, "3", "type_error"),
    *(("boolean", True, value, "correct") for value in (False, "true", 1)),
    ("boolean", True, 0, "type_error"),
    ("number", 3, 4.5, "type_error"),
    ("number", 3.5, 4.5, "correct"),
    ("enum", "x", "y", "correct"),
    ("object", {"k": 3}, {"k": 30}, "correct"),
    ("object", {"k": 3}, {"k": 2}, UNION),
    ("object", {"k": 3}, {"k": "3"}, "correct"),
    ("object", {"k": ["a b"]}, {"k": ["ab"]}, UNION),
    ("object", {}, {}, "type_error"),
    (ARRAY_INT, [], [], "type_error"),
    ("list(string)", ["a b"], ["AB"], "correct"),
    ("list(enum)", ["a"], ["b"], f"{UNION}:list/tuple"),
    ("objectArray", [{"k": 1}], [], f"{UNION}:list_dict_count"),
    ("objectArray", [{"k": 1}], [{"k": 1}], "checker_crash"),
    ("bool", True, True, "checker_crash"),
]  # fmt: skip


def one_parameter(kind: Any) -> list[dict[str, Any]]:
    optional = isinstance(kind, str) and kind.startswith("?")
    details = kind if isinstance(kind, dict) else {"type": kind.lstrip("?")}
    return [tool("f", {"a": details}, [] if optional else ["a"])]


@pytest.mark.parametrize(("kind", "answer", "value", "code"), BFCL_TABLE)
def test_bfcl_table(kind: Any, answer: Any, value: Any, code: str) -> None:
    arguments = {} if value is OMITTED else {"a": value}
    public, _ = judged("bfcl", one_parameter(kind), [{"f": {"a": answer}}], said(("f", arguments)))
    assert public.detail["error_type"] == code and public.value == float(code == "correct")


@pytest.mark.parametrize(("kind", "answer", "value", "code"), ACE_TABLE)
def test_acebench_table(kind: Any, answer: Any, value: Any, code: str) -> None:
    public, _ = judged("acebench", one_parameter(kind), {"f": {"a": answer}}, said(("f", {"a": value})))
    assert public.detail["error_type"] == code and public.value == float(code == "correct")
    assert public.touched == ("checker_crash" if code == "checker_crash" else None)


def test_acebench_keys() -> None:
    two = {"f_1": {"a": "1"}, "f_2": {"a": "2"}}
    tools = one_parameter("string")
    public, ours = judged("acebench", tools, two, said(("f", {"a": "12"}), ("f", {"a": "zz"})))
    assert (public.value, ours.value) == (1.0, 0.0), "one call serves both answers, but not with us"
    public, ours = judged("acebench", tools, two, said(("f", {"a": "2"}), ("f", {"a": "1"})))
    assert (public.value, ours.value) == (1.0, 1.0)
    public, _ = judged("acebench", tools, {"f_1": {"a": "1"}}, said(("f", {"a": "1"})))
    assert public.detail["error_type"] == "function_mismatch"
    public, _ = judged("acebench", tools, [{"g": {}}, {"f": {"a": "1"}}], said(("f", {"a": "1"})))
    assert public.value == 1.0, "any candidate may pass"
    public, _ = judged("acebench", tools, [{"g": {}}, {"f": {"a": "1"}}], said(("f", {"a": "2"})))
    assert public.detail["error_type"] == "function_mismatch", "the first candidate's error counts"
    public, _ = judged("acebench", tools, {}, "nothing")
    assert public.touched == "checker_crash"


def test_acebench_tools_without_parameters() -> None:
    tools = [tool("f", {}, [])]
    empty, filled = said(("f", {})), said(("f", {"x": 1}))
    public, ours = judged("acebench", tools, {"f": {}}, empty)
    assert (public.detail["error_type"], ours.value) == ("wrong_param", 1.0)
    public, ours = judged("acebench", tools, {"f": {}}, filled)
    assert (public.value, ours.value) == (1.0, 0.0)
    bare = [{"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}]
    assert judged("acebench", bare, {"f": {}}, empty)[0].value == 1.0
    assert judged("acebench", bare, {"f": {}}, filled)[0].detail["error_type"] == "wrong_param"


# --- section 5 -----------------------------------------------------------------------------------


def test_the_greedy_match_and_ours() -> None:
    tools, answers = one_parameter("integer"), [{"f": {"a": [1, 2]}}, {"f": {"a": [1]}}]
    public, ours = judged("bfcl", tools, answers, said(("f", {"a": 2}), ("f", {"a": 1})), "parallel")
    assert (public.value, ours.value) == (1.0, 1.0)
    public, ours = judged("bfcl", tools, answers, said(("f", {"a": 1}), ("f", {"a": 2})), "parallel")
    assert (public.value, ours.value) == (0.0, 1.0), "the right calls in another order"
    assert public.detail["error_type"].endswith("cannot_find_match")
    assert len(public.detail["error_reasons"]) > 1


@pytest.mark.parametrize(
    ("names", "said_name", "valid"),
    [("exact", "a.b", 1), ("exact", "a_b", 0), ("underscore", "a.b", 0), ("underscore", "a_b", 1)],
)
def test_dotted_names(names: str, said_name: str, valid: int) -> None:
    for verdict in judged("bfcl", [tool("a.b", {}, [])], [{"a.b": {}}], said((said_name, {})), names=names):
        assert verdict.value == valid
        assert valid or verdict.detail["error_type"] == "simple_function_checker:wrong_func_name"


@pytest.mark.parametrize(
    ("details", "answer", "value"),
    [
        ({"type": "float"}, [1.0], 10**400),
        (ARRAY_DICT, [[{"k": ["v"]}], ""], ["v"]),
        ({"type": "array"}, [[1]], [1]),
        ({"type": "strnig"}, ["x"], "x"),
        ({}, ["x"], "x"),
        ({"type": "dict"}, [{"k": ["v"]}, 5], {}),
        ({"type": "string"}, 5, "x"),
    ],
)
def test_crashes_cost_one_record(details: Any, answer: Any, value: Any) -> None:
    public, ours = judged(
        "bfcl", [tool("f", {"a": details}, [])], [{"f": {"a": answer}}], said(("f", {"a": value}))
    )
    assert (public.value, public.touched, public.reason) == (0.0, "checker_crash", None)
    assert public.detail["error_type"] == "checker_crash" and public.detail["error_reasons"]
    assert (ours.value, ours.touched) == (0.0, None)


@pytest.mark.parametrize(
    ("function", "target"),
    [
        ({"name": "f", "parameters": {"properties": {}, "required": []}}, [{"f": {}}]),
        ({"name": "f", "description": "", "parameters": {"properties": {}}}, [{"f": {}}]),
        ({"name": "f", "description": "", "parameters": {"required": []}}, [{"f": {}}]),
        ({"name": "f", "description": "", "parameters": {"properties": {}, "required": []}}, [{"g": {}}]),
        ({"name": "f", "description": "", "parameters": {"properties": {}, "required": []}}, [{}]),
    ],
)
def test_faults_of_the_data(function: Any, target: Any) -> None:
    wrapped = [{"type": "function", "function": function}]
    public, ours = judged("bfcl", wrapped, target, said(("f", {})))
    assert public.touched == "checker_crash"
    assert not any(r.startswith(("'", '"')) for v in (public, ours) for r in v.detail["error_reasons"])
    assert target == [{}] or len(faults(wrapped, target, "bfcl")) == 1


SHAPES: list[Any] = [
    None,
    5,
    "x",
    [],
    {},
    [5],
    {"a": None},
    {"a": "string"},
    {"a": {"type": ["string", "null"]}},
]


@pytest.mark.parametrize("style", ["bfcl", "acebench"])
@pytest.mark.parametrize(
    "target", [{"f": 5}, {"f": None}, [5], [None], [[1]], ["f"], [{"f": 5}], {"f": {"a": 1}}]
)
def test_data_in_any_shape_is_told_and_never_raises(style: Any, target: Any) -> None:
    """At load too: a schema type may be a list there, as JSON Schema allows."""
    functions = [
        *({"name": "f", "description": "", "parameters": p} for p in SHAPES),
        *({"name": "f", "description": "", "parameters": {"properties": p, "required": []}} for p in SHAPES),
        *(None, 5, {"name": 5, "description": "", "parameters": {}}),
    ]
    for function in functions:
        wrapped = [{"type": "function", "function": function}]
        faults(wrapped, target, style)
        judged(style, wrapped, target, said(("f", {"a": "x"})))
    assert faults([{"name": "f"}], target, style) and faults(
        [tool("f", SHAPES[-1], [])], [{"f": {"a": []}}], style
    )


def test_what_only_the_right_answer_crashes_is_a_fault() -> None:
    for kind, right in (("objectArray", [{"k": 1}]), ("array", ["x"]), ("array", [1])):
        tools, target = [tool("f", {"a": {"type": kind}}, [])], {"f": {"a": right}}
        assert judged("acebench", tools, target, said(("f", target["f"])))[0].touched == "checker_crash"
        assert (
            len(faults(tools, target, "acebench")) == 1 and faults(tools, {"f": {"a": []}}, "acebench") == []
        )
    assert faults(tools, [], "bfcl") == faults(tools, [{}], "acebench") == ["the answer is empty"]


def test_a_call_where_none_is_wanted_is_wrong() -> None:
    for style, target in (("acebench", []), ("acebench", [{}]), ("acebench", {}), ("bfcl", [])):
        tools = [tool("f", {}, [])]
        assert [judged(style, tools, target, t)[1].value for t in ("", said(("f", {})))] == [1.0, 0.0]


def test_nothing_to_compare_with_is_unscored() -> None:
    assert [v.value for v in judged("bfcl", [tool("f", {}, [])], None)] == [None, None]
    public, ours = judged("bfcl", [], [{"f": {}}])
    assert (
        public.reason is not None and public.reason == ours.reason and public.reason.startswith("no-tools: ")
    )


# --- what is strict ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "kind", "answer", "value"),
    [
        ("bfcl", "object", [{"k": ["v"]}], 5),
        ("bfcl", "object", [{"k": ["v"]}], {"k": "w"}),
        ("bfcl", "object", [{"k": ["v"]}], {}),
        ("acebench", "integer", 3, 4),
        ("acebench", "boolean", True, False),
        ("acebench", "boolean", True, 1),
        ("acebench", "boolean", True, "true"),
        ("acebench", "string", "x", "axb"),
        ("acebench", "object", {"k": 3}, {"k": 30}),
        ("acebench", "enum", "x", "y"),
    ],
)
def test_where_the_public_rule_looks_away(style: Any, kind: str, answer: Any, value: Any) -> None:
    target: Any = [{"f": {"a": answer}}] if style == "bfcl" else {"f": {"a": answer}}
    public, ours = judged(style, one_parameter(kind), target, said(("f", {"a": value})))
    assert (public.value, ours.value) == (1.0, 0.0)


@pytest.mark.parametrize(
    "value", [{"k": "v"}, {"k": "V."}, {"k": "w"}, {"k": "v", "m": {"n": 1}}, {"k": "v", "m": {"n": 2}}]
)
def test_objects_that_fit(value: Any) -> None:
    target = [{"f": {"a": [{"k": ["v", "w"], "m": [{"n": [1, 2]}, ""]}]}}]
    assert judged("bfcl", one_parameter("object"), target, said(("f", {"a": value})))[1].value == 1.0


def test_missing_optional_arguments_and_dropped_calls() -> None:
    tools = [tool("f", {"a": {"type": "string"}, "b": {"type": "string"}}, ["a"])]
    public, ours = judged("acebench", tools, {"f": {"a": "x", "b": "y"}}, said(("f", {"a": "x"})))
    assert (public.value, ours.value, ours.detail["error_type"]) == (1.0, 0.0, "lack_args")
    text = said(("f", {"a": "x"})) + "<tool_call>{'name': 'f'}</tool_call>"
    public, ours = judged("acebench", tools, {"f": {"a": "x"}}, text)
    assert (public.value, public.detail["dropped"]) == (1.0, 1)
    assert (ours.value, ours.detail["error_type"]) == (0.0, "strict:unreadable_call")


WORDS = st.text(alphabet="aB -._'\"1九", max_size=4)
SCALARS = WORDS | st.integers(-3, 3) | st.booleans() | st.sampled_from([0.5, 2.0, -1.5])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)
KINDS = st.sampled_from(
    [
        *({"type": t} for t in ("string", "integer", "float", "number", "boolean", "any", "dict", "object")),
        *(
            {"type": t, "items": {"type": i}}
            for t in ("array", "tuple")
            for i in ("string", "integer", "dict")
        ),
    ]
)


@st.composite
def bfcl_records(draw: st.DrawFn) -> tuple[Any, Any, list[Call]]:
    """Tools, answers, and as many calls that look like them."""
    tools = [tool(n, {p: draw(KINDS) for p in "ab"}, []) for n in ("f", "g")]
    n = draw(st.integers(1, 4))
    answers, calls = [], []
    for _ in range(n):
        name = draw(st.sampled_from("fg"))
        wanted = draw(
            st.dictionaries(
                st.sampled_from("ab"),
                st.lists(st.just("") | SCALARS | VALUES, min_size=1, max_size=3),
                max_size=2,
            )
        )
        answers.append({name: wanted})
        given_ = {
            p: draw(st.sampled_from(alts) | VALUES) for p, alts in wanted.items() if draw(st.booleans())
        }
        calls.append(Call(name, given_))
    return tools, answers, draw(st.permutations(calls))


def strict_valid(style: Any, tools: Any, target: Any, calls: list[Call]) -> bool:
    from judges.calls.parsing import Decoded

    return strict.check(Decoded(tuple(calls)), target, unwrapped(tools), style).valid


@settings(max_examples=300)
@given(bfcl_records(), st.data())
def test_order_never_matters_to_us(record: tuple[Any, Any, list[Call]], data: st.DataObject) -> None:
    tools, answers, calls = record
    other = data.draw(st.permutations(calls))
    assert strict_valid("bfcl", tools, answers, calls) == strict_valid("bfcl", tools, answers, other)
    flat = {f"{c.name}_{k}": c.arguments for k, c in enumerate(calls)}
    assert strict_valid("acebench", tools, flat, other) or len(flat) == 1
    for k, call in enumerate(calls):
        flat[f"{call.name}_{k}"] = {"a": k % 2}
    assert strict_valid("acebench", tools, flat, calls) == strict_valid("acebench", tools, flat, other)


@settings(max_examples=300)
@given(bfcl_records())
def test_we_are_never_more_lenient_but_for_the_greedy_match(record: tuple[Any, Any, list[Call]]) -> None:
    tools, answers, calls = record
    if not strict_valid("bfcl", tools, answers, calls):
        return
    orders = [calls]
    if len(calls) <= 3:
        from itertools import permutations

        orders = [list(p) for p in permutations(calls)]
    outcomes = []
    for order in orders:
        try:
            outcomes.append(bfcl_check(order, answers, unwrapped(tools), "parallel"))
        except CRASHES:  # a call tried against the answer of another may crash the public code
            return
    assert len(calls) > 3 or any(o.valid for o in outcomes)
    assert all(o.valid or o.error_type.endswith("cannot_find_match") for o in outcomes)


@given(ARGUMENTS)
def test_an_acebench_answer_said_word_by_word_passes(arguments: dict[str, Any]) -> None:
    tools = [tool("f", {}, [])]
    assert judged("acebench", tools, {"f": arguments}, said(("f", arguments)))[1].value == 1.0


@given(
    st.dictionaries(
        st.sampled_from("ab"), st.sampled_from(["x", "", 1, True, 2.5, [1], {"k": "v"}]), max_size=2
    )
)
def test_a_bfcl_answer_said_word_by_word_passes(arguments: dict[str, Any]) -> None:
    def alternatives(value: Any) -> list[Any]:
        return [{k: [v] for k, v in value.items()} if isinstance(value, dict) else value, "other"]

    kinds: dict[type, Any] = {
        **{str: "string", int: "integer", bool: "boolean", float: "float"},
        **{list: ARRAY_INT, dict: "dict"},
    }
    properties = {
        k: d if isinstance(d := kinds[type(v)], dict) else {"type": d} for k, v in arguments.items()
    }
    # An alternative of another type sends an empty string to plain comparison: none is given with it.
    answer = {k: alternatives(v) if v != "" else [""] for k, v in arguments.items()}
    for k, v in arguments.items():
        if isinstance(v, dict | list):
            answer[k] = answer[k][:1]
    public, ours = judged(
        "bfcl", [tool("f", properties, list(arguments))], [{"f": answer}], said(("f", arguments))
    )
    assert (public.value, ours.value) == (1.0, 1.0)


@given(VALUES, VALUES)
def test_equality_is_an_equality(one: Any, other: Any) -> None:
    assert same(one, one) and same(one, other) == same(other, one)


def test_standardisation_is_the_sheets() -> None:
    assert standardised("A b,c.d/e-f_g*h^i'") == 'abcdefghi"'
    kept = '\t\n\u3000，、!?:;()+&@%#"\\'
    assert standardised(kept) == kept


ACE_KINDS = KINDS | st.sampled_from(
    [{"type": t} for t in ("enum", "list", "list(string)", "list(enum)", "objectArray", "int", "bool", "odd")]
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from("abc"), ACE_KINDS, max_size=3), ARGUMENTS, ARGUMENTS)
def test_acebench_never_surprises(properties: Any, arguments: Any, wanted: Any) -> None:
    """Whatever schema and answer, there is a verdict, and a strict one that is right only for the answer."""
    tools = [tool("f", properties, [])]
    public, ours = judged("acebench", tools, {"f": wanted}, said(("f", arguments)))
    assert public.value in (0.0, 1.0) and (public.touched is None) == (
        public.detail["error_type"] != "checker_crash"
    )
    assert ours.value == float(same(arguments, wanted)), "strict asks the answer alone"


# --- native calls --------------------------------------------------------------------------------


def native(name: Any, arguments: Any) -> dict[str, Any]:
    return {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("arguments", "decoded"),
    [
        ('{"a": 1}', {"a": 1}), ({"a": 1}, {"a": 1}), ("", {}), (None, {}), ("{}", {}),
        (r'{"a": "x\ny"}', {"a": "x y"}), (r'{"a": "C:\\new"}', {"a": r"C:\new"}), ('[{"a": 1}]', {"a": 1}),
    ],
)  # fmt: skip
def test_native_arguments(arguments: Any, decoded: Any) -> None:
    assert decode_native([native("f", arguments)]).calls == (Call("f", decoded),)


@pytest.mark.parametrize("arguments", ["{", "[1]", "null", '"x"', 5, "[" * 100_000])
def test_native_arguments_that_are_none(arguments: Any) -> None:
    assert decode_native([native("f", arguments)]).calls is None
    public, ours = judged("bfcl", [tool("f", {}, [])], [{"f": {}}], tool_calls=(native("f", arguments),))
    assert public.detail["error_type"] == ours.detail["error_type"] == "ast_decoder:decoder_failed"


@pytest.mark.parametrize("call", [{}, {"function": None}, {"function": {"arguments": "{}", "name": ["f"]}}])
def test_native_calls_in_odd_shapes(call: Any) -> None:
    assert decode_native([call]).calls is None


def test_native_calls_take_the_place_of_the_text_and_get_their_names_back() -> None:
    tools, target = [tool("a.b", {"x": {"type": "integer"}}, ["x"])], [{"a.b": {"x": [1]}}]
    public, ours = judged(
        *("bfcl", tools, target, said(("a.b", {"x": 2}))),
        tool_calls=(native("a_b", '{"x": 1}'),),
        meta={"tool_names": {"a_b": "a.b"}},
    )
    assert public.value == ours.value == 1.0 and public.detail["native"] is True
    assert public.detail["calls"] == [{"name": "a.b", "arguments": {"x": 1}}]
    verdicts = judged(
        *("bfcl", tools, target),
        names="underscore",
        tool_calls=(native("a_b", '{"x": 1}'),),
        meta={"tool_names": {"a_b": "a.b"}},
    )
    assert [v.value for v in verdicts] == [1.0, 1.0], "as the checker compares names, so they come back"


# --- what is kept --------------------------------------------------------------------------------


def test_details_are_small_and_plain_json() -> None:
    nested: Any = 1
    for _ in range(200):
        nested = [nested]
    arguments = {
        "a": "x" * 100_000,
        "b": nested,
        "c": list(range(1000)),
        "d": 10**300,
        "e": {str(k): k for k in range(99)},
    }
    text = said(("f", arguments)).replace('"d": 1', '"inf": -Infinity, "nan": NaN, "d": 1')
    public, ours = judged("bfcl", one_parameter("any"), [{"f": {"a": ["x" * 100_000]}}], text)
    assert len(json.dumps(public.detail)) < 6_000 and len(json.dumps(ours.detail)) < 6_000
    [call] = public.detail["calls"]
    assert (call["arguments"]["inf"], call["arguments"]["nan"]) == ("-inf", "nan")


def test_a_deep_argument_is_wrong_and_no_crash() -> None:
    text = '<tool_call>{"name": "f", "arguments": {"a": ' + "[" * 900 + "]" * 900 + "}}</tool_call>"
    public, ours = judged("bfcl", one_parameter("integer"), [{"f": {"a": [3]}}], text)
    assert public.detail["error_type"] in ("type_error:simple", "multiple_function_checker:wrong_count")
    assert (public.value, ours.value) == (0.0, 0.0)


def test_thousands_of_records_per_second() -> None:
    rows = vectors(OWN)
    samples = [
        (
            Sample(
                "s", "t/t", (), target=json.loads(v["ground_truth"]), tools=tuple(json.loads(v["function"]))
            ),
            Answer(v["predict"], Response("s", text=v["predict"])),
            (CallChecker(v["scorer"], v["test_category"]), StrictCallChecker(v["scorer"])),
        )
        for v in rows
    ]
    start = time.process_time()
    for sample, answer, judges in samples * 4:
        for judge in judges:
            judge.score(sample, answer)
    assert len(samples) * 4 / (time.process_time() - start) > 1_500
