"""The texts that a file holds: the whole of it, and every string in its source. Nothing is run.

What a string is goes by the file's name: Python constants as they would evaluate (joined literals, dedented or
stripped ones, the source of f-strings), YAML scalars as parsed, JSON strings. What can't be parsed (Python 2,
templates) is searched for quoted strings.
"""

from __future__ import annotations

import ast
import io
import json
import re
import textwrap
import tokenize
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_TRIPLE = re.compile(r'"""(.*?)"""|\'\'\'(.*?)\'\'\'', re.DOTALL)
_PREFIX = re.compile(r"[A-Za-z]{0,3}")
_F_STRING = re.compile(r"[A-Za-z]?[fF]")
_TRIVIA = (tokenize.NL, tokenize.COMMENT, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
SOURCE_LIMIT = 1 << 20
"""Characters of Python that are parsed: a syntax tree takes some hundred times the memory of its source. A longer file
holds data; it is searched for triple quotes alone."""
_BRACES_LIMIT = 4_000_000_000
"""Braces times characters of Python that is parsed: in Python 3.11, an f-string of n expressions takes n * n steps."""
_TEXT_LIMIT = 100_000
"""Characters of a text put together from others; no prompt is longer, and a join of joins may be of any length."""
_CANT = (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError)


@dataclass(frozen=True, slots=True)
class Literal:
    """A text in a file: where it starts (line from 1; 0 is the whole file) and what it is called there, if anything."""

    text: str
    line: int = 0
    name: str = ""


def literals(name: str, data: bytes) -> Iterator[Literal]:
    """The texts of one file, by its name and content; a binary file has none. Raises nothing."""
    if b"\0" in data[:8192]:
        return
    text = data.decode("utf-8", "replace")
    yield Literal(text)
    suffix = name.rpartition(".")[2].lower()
    source = text.removeprefix("\ufeff").replace("\r\n", "\n")
    with warnings.catch_warnings():  # of escapes and the like in other people's code
        warnings.simplefilter("ignore")
        if suffix in ("py", "pyi"):
            yield from _python(source)
        elif suffix in ("yaml", "yml"):
            yield from _yaml(source)
        elif suffix in ("json", "jsonl", "ipynb"):
            yield from _json(source)
        yield from _quoted(source)


# --- Python --------------------------------------------------------------------------------------


def _python(source: str) -> Iterator[Literal]:
    """String constants of a module, at any depth, and its f-strings both as written and with their braces left."""
    if len(source) > SOURCE_LIMIT:
        return
    if source.count("{") * len(source) > _BRACES_LIMIT:
        yield from _tokens(source)
        return
    try:
        tree = ast.parse(source)
    except _CANT:
        yield from _tokens(source)
        return
    lines = [line + b"\n" for line in source.encode().split(b"\n")]  # not those of `splitlines`
    known = _constants(tree)
    stack: list[tuple[ast.AST, str]] = [(tree, "")]
    while stack:
        node, name = stack.pop()
        line = getattr(node, "lineno", 0)
        if not isinstance(node, ast.Name) and (text := _folded(node, known)) is not None:
            yield Literal(text, line, name)
        if isinstance(node, ast.JoinedStr):
            yield from (Literal(t, line, name) for t in _f_string(node, lines))
        stack += _below(node, name)


def _constants(tree: ast.Module) -> dict[str, str]:
    """What a module's own names for texts stand for, so that one text made of another is found."""
    known: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if (text := _folded(node.value, known)) is not None:
                known[name] = text
            else:
                known.pop(name, None)
    return known


def _folded(node: ast.AST, known: Mapping[str, str], depth: int = 0) -> str | None:
    """The string an expression of constants comes to: literals, sums, joins, strips and dedents of them; else None.

    Args:
        known: texts by the module's own names for them.
    """
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if depth > 200:
        return None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left = _folded(node.left, known, depth + 1)
        right = _folded(node.right, known, depth + 1) if left is not None else None
        short = left is not None and right is not None and len(left) + len(right) <= _TEXT_LIMIT
        return left + right if short else None  # type: ignore[operator]
    if isinstance(node, ast.JoinedStr):
        return _evaluated_f(node, known)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.keywords:
        return _method(node.func, node.args, known, depth + 1)
    return None


def _evaluated_f(node: ast.JoinedStr, known: Mapping[str, str]) -> str | None:
    """What an f-string of nothing but texts and known names comes to; else None."""
    parts: list[str] = []
    for value in node.values:
        if isinstance(value, ast.FormattedValue):
            plain = value.conversion == -1 and value.format_spec is None
            held = known.get(value.value.id) if plain and isinstance(value.value, ast.Name) else None
            if held is None:
                return None
            parts.append(held)
        elif isinstance(value, ast.Constant):
            parts.append(str(value.value))
    return "".join(parts) if sum(map(len, parts)) <= _TEXT_LIMIT else None


def _method(func: ast.Attribute, args: list[ast.expr], known: Mapping[str, str], depth: int) -> str | None:
    """`"...".strip()`, `"\\n".join(["...", "..."])`, `textwrap.dedent("...")`."""
    if func.attr == "dedent" and len(args) == 1:
        text = _folded(args[0], known, depth)
        return None if text is None else textwrap.dedent(text)
    on = _folded(func.value, known, depth)
    if on is None:
        return None
    if func.attr in ("strip", "lstrip", "rstrip") and not args:
        return str(getattr(on, func.attr)())
    if func.attr == "join" and len(args) == 1 and isinstance(args[0], ast.List | ast.Tuple):
        folded = [_folded(e, known, depth) for e in args[0].elts]
        parts = [p for p in folded if p is not None]
        length = len(on) * len(parts) + sum(map(len, parts))
        return on.join(parts) if len(parts) == len(folded) and length <= _TEXT_LIMIT else None
    return None


def _f_string(node: ast.JoinedStr, lines: list[bytes]) -> Iterator[str]:
    """Between the quotes as written, and what it evaluates to with `{expression}` left in place."""
    code = _source(node, lines)
    start = _PREFIX.match(code)
    bare = code[start.end() if start else 0 :]
    for quote in ('"""', "'''", '"', "'"):
        if bare.startswith(quote) and bare.endswith(quote) and len(bare) >= 2 * len(quote):
            yield bare[len(quote) : -len(quote)]
            break
    parts = []
    for value in node.values:
        if isinstance(value, ast.Constant):
            parts.append(str(value.value))
        elif isinstance(value, ast.FormattedValue):
            try:
                parts.append("{" + ast.unparse(value.value) + "}")
            except (RecursionError, ValueError):
                return
    yield "".join(parts)


def _source(node: ast.expr, lines: list[bytes]) -> str:
    """The source of an expression; columns are bytes."""
    first, last, end = node.lineno - 1, (node.end_lineno or node.lineno) - 1, node.end_col_offset
    if last >= len(lines):
        return ""
    if first == last:
        return lines[first][node.col_offset : end].decode("utf-8", "replace")
    parts = [lines[first][node.col_offset :], *lines[first + 1 : last], lines[last][:end]]
    return b"".join(parts).decode("utf-8", "replace")


def _below(node: ast.AST, name: str) -> Iterator[tuple[ast.AST, str]]:
    """The child nodes and what they are called, as far as an assignment, a function, a class or a key names them."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            said = f"[{str(key.value)[:40]!r}]" if isinstance(key, ast.Constant) else ""
            yield value, name + said
            if key is not None:
                yield key, name
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        name = f"{name}.{node.name}".lstrip(".")
    elif isinstance(node, ast.keyword) and node.arg:
        name = f"{name}.{node.arg}".lstrip(".")
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if isinstance(target, ast.Name):
            name = f"{name}.{target.id}".lstrip(".")
    for child in ast.iter_child_nodes(node):
        yield child, name


def _tokens(source: str) -> Iterator[Literal]:
    """String tokens, neighbours joined, up to where the source stops being Python."""
    run: list[str] = []
    line = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.STRING and not _F_STRING.match(token.string):
                line = line if run else token.start[0]
                run.append(token.string)
            elif run and token.type not in _TRIVIA:
                yield from _evaluated(" ".join(run), line)
                run = []
    except _CANT:
        pass
    yield from _evaluated(" ".join(run), line)


def _evaluated(code: str, line: int) -> Iterator[Literal]:
    """The string that literals side by side come to."""
    try:
        value = ast.literal_eval(code) if code else None
    except _CANT:
        return
    if isinstance(value, str):
        yield Literal(value, line)


# --- other files ---------------------------------------------------------------------------------


def _yaml(source: str) -> Iterator[Literal]:
    """Every scalar as parsed (folded, escapes read), called by the one before it; nothing is constructed."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    before = ""
    try:
        for event in yaml.parse(source, Loader=loader):
            if isinstance(event, yaml.ScalarEvent):
                line = event.start_mark.line + 1 if event.start_mark is not None else 0
                yield Literal(event.value, line, before if len(before) < 60 else "")
                before = event.value
    except (yaml.YAMLError, RecursionError, ValueError):
        return


def _json(source: str) -> Iterator[Literal]:
    """Every string of a JSON document, or of each line of one; lists of strings also joined (notebooks)."""
    try:
        documents: list[tuple[int, Any]] = [(0, json.loads(source))]
    except (ValueError, RecursionError):
        documents = []
        for number, line in enumerate(source.splitlines(), 1):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, str | dict | list):
                documents.append((number, value))
    stack = [(number, "", value) for number, value in documents]
    while stack:
        number, name, value = stack.pop()
        if isinstance(value, str):
            yield Literal(value, number, name)
        elif isinstance(value, dict):
            stack += [(number, str(k)[:60], v) for k, v in value.items()]
        elif isinstance(value, list):
            if value and all(isinstance(v, str) for v in value):
                yield from (Literal(sep.join(value), number, name) for sep in ("", "\n"))
            stack += [(number, name, v) for v in value]


def _quoted(source: str) -> Iterator[Literal]:
    """What stands between triple quotes, as written and with its escapes read, wherever that is."""
    line, at = 1, 0
    for found in _TRIPLE.finditer(source):
        line, at = line + source.count("\n", at, found.start()), found.start()
        body = found.group(1) if found.group(1) is not None else found.group(2)
        yield Literal(body, line)
        if "\\" in body:
            yield from _evaluated(found.group(0), line)
