"""The floors: nothing imports upwards, no files import in a circle, and a bare start loads nothing heavy."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("evalkit", "judges", "benchmarks", "reports")

FLOORS = {
    "evalkit": 1,  # the version and a lazy door
    "evalkit.records": 1,
    **dict.fromkeys(
        (
            *(
                *("evalkit.interfaces", "evalkit.chat", "evalkit.errors"),
                "evalkit.files",
                "evalkit.audio",
                "evalkit.sources",
                "evalkit.rows",
                "evalkit.folders",
            ),
            *(
                "evalkit.hub",
                "evalkit.store",
                "evalkit.linefiles",
                "evalkit.stats",
                "evalkit.pools",
                "evalkit.signature",
                "evalkit.registry",
            ),
            *("evalkit.cache", "evalkit.config", "evalkit.task", "evalkit.plan", "evalkit.segments"),
            *("evalkit.results", "evalkit.predictions", "evalkit.formats"),
            *("evalkit.published", "evalkit.wording", "evalkit.frames", "evalkit.audit"),
            *("evalkit.usage", "evalkit.prices", "evalkit.ledger"),
            *(
                "evalkit.resampling",
                "evalkit.inference",
                "evalkit.segmentfile",
                "evalkit.pairs",
                "evalkit.overalls",
            ),
            "evalkit.resultshape",
            "evalkit.truncation",
            "evalkit.sizing",
        ),
        2,
    ),
    "judges": 3,
    "evalkit.runners": 3,
    "benchmarks": 4,
    "evalkit.engine": 5,
    "reports": 6,
    "evalkit.gate": 6,
    "evalkit.exports": 6,
    "evalkit.cli": 7,
    "run_eval": 7,
}
APART = {
    *(("judges", "evalkit.runners"), ("evalkit.runners", "judges"), ("evalkit.engine", "benchmarks")),
    *(("reports", p) for p in ("judges", "evalkit.runners", "benchmarks", "evalkit.engine")),
    *(("evalkit.gate", p) for p in ("judges", "evalkit.runners", "benchmarks", "evalkit.engine")),
    *(("evalkit.exports", p) for p in ("judges", "evalkit.runners", "benchmarks", "evalkit.engine")),
    *((p, "evalkit.exports") for p in ("reports", "evalkit.gate")),
}
"""Packages that may not import each other although their floors would allow it: (who, whom)."""


def source_files() -> dict[str, Path]:
    """Every source file by module name."""
    found = {"run_eval": ROOT / "run_eval.py"}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


FILES = source_files()


def home(module: str) -> str:
    """The entry of FLOORS a module belongs to: the longest that it is, or is in."""
    fitting = [
        name for name in FLOORS if module == name or (module.startswith(name + ".") and name != "evalkit")
    ]
    assert fitting, f"{module} has no floor: add it to FLOORS, and to the design"
    return max(fitting, key=len)


class Imports(ast.NodeVisitor):
    """Modules of ours that a file imports anywhere, except under `if TYPE_CHECKING`."""

    def __init__(self, module: str, is_package: bool) -> None:
        self.found: set[str] = set()
        self.base = module.split(".") if is_package else module.split(".")[:-1]

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in node.orelse:
                self.visit(other)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        above = self.base[: len(self.base) - node.level + 1] if node.level else []
        module = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            # "from package import module" imports the module; "from module import name" the module.
            inner = f"{module}.{alias.name}"
            self._add(inner if inner in FILES else module)

    def _add(self, module: str) -> None:
        if module in FILES:
            self.found.add(module)


def imports(module: str, text: str | None = None) -> set[str]:
    path = FILES.get(module, ROOT / "x.py")
    visitor = Imports(module, path.name == "__init__.py")
    visitor.visit(ast.parse(path.read_text(encoding="utf-8") if text is None else text))
    return visitor.found - {module}


GRAPH = {module: imports(module) for module in FILES}


def circles(graph: dict[str, set[str]]) -> Iterator[list[str]]:
    """Each circle of imports met in a walk through the graph."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> Iterator[list[str]]:
        if module in path:
            yield [*path[path.index(module) :], module]
        elif module not in done:
            for other in sorted(graph.get(module, ())):
                yield from walk(other, [*path, module])
            done.add(module)

    for start in sorted(graph):
        yield from walk(start, [])


def test_the_reader_of_imports_sees_what_it_should() -> None:
    """Lazy imports count, those for the type checker don't, relative ones are resolved."""
    text = (
        "import evalkit.store\nfrom evalkit import stats, __version__\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import evalkit.hub\nelse:\n    import evalkit.cache\n"
        "def f():\n    from evalkit.records import Audio\n    from . import rows\n    from .runners import replay\n"
    )
    assert imports("evalkit.none", text) == {
        *("evalkit", "evalkit.store", "evalkit.stats", "evalkit.cache"),
        *("evalkit.records", "evalkit.rows", "evalkit.runners.replay"),
    }
    assert list(circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == [["a", "b", "c", "a"]]


@pytest.mark.parametrize("module", FILES)
def test_nothing_imports_upwards(module: str) -> None:
    mine = home(module)
    for other in GRAPH[module]:
        theirs = home(other)
        assert FLOORS[theirs] <= FLOORS[mine], f"{module} (floor {FLOORS[mine]}) imports {other} above it"
        assert (mine, theirs) not in APART, f"{module} must not know {other}"


def with_packages(module: str) -> set[str]:
    """What a module imports, and the packages around that: their `__init__` runs first."""
    found: set[str] = set()
    for other in GRAPH[module]:
        while other and not module.startswith(f"{other}."):
            found.add(other)
            other = other.rpartition(".")[0]
    return found & set(FILES) - {module}


def test_no_files_import_in_a_circle() -> None:
    """Nor by way of a package's door: what imports `a.b` first runs the `__init__` of `a`, and all that it imports."""
    assert [" -> ".join(c) for c in circles(GRAPH)] == []
    assert [" -> ".join(c) for c in circles({m: with_packages(m) for m in FILES})] == []


def test_the_ground_floor_imports_nothing_of_ours() -> None:
    ground = [m for m in FILES if home(m) == "evalkit.records"]
    assert len(ground) > 1
    assert {to for m in ground for to in GRAPH[m]} <= set(ground)


HEAVY = (
    *("torch", "pandas", "numpy", "pyarrow", "openai", "httpx", "jinja2", "datasets", "huggingface_hub"),
    *("soundfile", "soxr", "nltk", "langdetect", "whisper_normalizer", "onnxruntime", "faster_whisper"),
)


def loaded(code: str) -> set[str]:
    """Which of the heavy modules are loaded after running `code` in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1])) & set(HEAVY)


@pytest.mark.parametrize(
    "code",
    [
        "import evalkit; evalkit.__version__",
        "import evalkit.cli",
        "from importlib import import_module as i; i('evalkit.cli.main').parser()",
        "from evalkit.cli import main; main(['--version'])",
        "from evalkit.cli import main; main(['run', '--help'])",
        "import evalkit.audio, evalkit.sources, evalkit.store",
    ],
)
def test_a_start_is_light(code: str) -> None:
    assert loaded(code) == set()


def test_the_watch_on_heavy_modules_is_awake() -> None:
    assert "numpy" in loaded("import judges.inert_pickle")
