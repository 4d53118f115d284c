"""Imports from trees made to do harm: bounded in time and memory, one sentence, what is good in them is found."""

from __future__ import annotations

import gzip
import io
import os
import pwd
import tarfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evalkit import config
from evalkit.errors import UsageError
from evalkit.wording import search as searching
from evalkit.wording import store, trees
from evalkit.wording.literals import SOURCE_LIMIT, literals
from evalkit.wording.search import search
from evalkit.wording.trees import FILE_LIMIT
from evalkit.wording.wanted import Wanted
from tests.cli_fixtures import Bench, bench
from tests.toolkit_fixtures import digest, own_store

__all__ = ["bench", "own_store"]

TEXT = "Rate {question} and {prediction}.\nFrom 1 to 5."
WANTED = [Wanted(digest(TEXT), "w")]

HARMFUL = {
    "a join that takes gigabytes": "x = '" + "s" * 300_000 + "'.join([" + "''," * 50_000 + "])",
    "joins of joins": "x = " + "'ss'.join(['a', 'b', " * 60 + "'a'" + "])" * 60,
    "an f-string of many expressions": "x = f'''" + "{a}" * 60_000 + "'''\n",
    "a long list": "x = [" + "1," * 50_000 + "]",
    "many minus signs": "x = " + "-" * 50_000 + "1",
    "a chain of calls": "a" + "()" * 20_000,
    "a chain of names": "a" + ".b" * 20_000,
    "sums of sums": "\n".join("x = " + " + ".join(["'{a} {b} qqqqq'"] * 190) for _ in range(20)),
}


@pytest.mark.parametrize("kind", HARMFUL)
def test_python_that_takes_more_than_its_size(kind: str) -> None:
    source = f"P = {TEXT!r}\n{HARMFUL[kind]}\n"
    began = time.process_time()
    total = sum(len(x.text) for x in literals("a.py", source.encode()))
    assert time.process_time() - began < 20 and total < 50_000_000
    assert TEXT in [x.text for x in literals("a.py", source.encode())], "what else stands there is found"


def test_long_python_is_searched_in_part_and_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(f"P = '''{TEXT}'''\nQ = [" + "1," * (SOURCE_LIMIT // 2) + "]\n")
    began = time.process_time()
    looked = search([tmp_path], WANTED)
    assert [f.file for f in looked.found.values()] == ["a.py"] and time.process_time() - began < 10
    assert looked.notes() == ["1 Python files over 1 MiB were searched in part"]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.yaml", "a.txt"])
@pytest.mark.parametrize(
    "data",
    [
        "[" * 200_000,
        "{a: " * 50_000,
        "- " * 50_000,
        "1\n" * 100_000,
        "1" * 500_000,
        '"' + "{a} " * 100_000 + '"',
        "a: &a [x]\n"
        + "".join(f"k{k}: &k{k} [{','.join([f'*k{k - 1}' if k else '*a'] * 9)}]\n" for k in range(30)),
    ],
    ids=["lists", "maps", "blocks", "numbers", "a number", "one string", "aliases"],
)
def test_deep_and_long_data(name: str, data: str) -> None:
    began = time.process_time()
    total = sum(len(x.text) for x in literals(name, data.encode()))
    assert time.process_time() - began < 20 and total <= 3 * len(data)


@pytest.mark.parametrize(
    "kind", [b"x", b"g", b"L", b"K"], ids=["pax", "global pax", "long name", "long link"]
)
@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_a_header_of_a_terabyte(kind: bytes, name: str, tmp_path: Path) -> None:
    member = tarfile.TarInfo("x")
    member.type, member.size = kind, 7 << 30
    raw = member.tobuf(tarfile.USTAR_FORMAT) + b"1" * 100_000
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    with pytest.raises(UsageError, match=r"archive .* can't be read \(a header of 7,516,192,768 bytes\)"):
        search([tmp_path / name], WANTED)


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_tar_files_of_every_compression(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    with tarfile.open(path, {"tar": "w", "tgz": "w:gz"}.get(suffix, f"w:{suffix[4:]}")) as out:  # type: ignore[call-overload]
        for name, data in (("n" * 300, b"x"), ("big.bin", bytes(FILE_LIMIT + 1)), ("p.txt", TEXT.encode())):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    looked = search([path], WANTED)
    assert (len(looked.found), looked.large, looked.files) == (1, 1, 2)
    if suffix != "tar":  # one that ends between its members is as good as whole
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(UsageError, match=r"archive .* can't be read"):
            search([path], WANTED)


def test_a_zip_of_too_many_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as out:
        for k in range(100):
            out.writestr(f"{k}.txt", TEXT)
        out.comment = b"PK " * 1000
    assert search([path], WANTED).found
    monkeypatch.setattr(trees, "CONTENTS_LIMIT", 100 * 46)
    with pytest.raises(UsageError, match=r"archive .* can't be read \(a table of contents of"):
        search([path], WANTED)


def test_a_damaged_member_is_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("../bad.txt", "hello, this was another text")
        out.writestr("good.txt", TEXT)
    path.write_bytes(path.read_bytes().replace(b"hello", b"jello"))
    looked = search([path], WANTED)
    assert [f.file for f in looked.found.values()] == ["good.txt"]
    assert looked.notes() == ["1 files can't be read, e.g. ../bad.txt"]


def test_a_search_comes_to_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for k in range(3):
        (tmp_path / f"{k}.txt").write_text(TEXT)
    monkeypatch.setattr(searching, "TIME_LIMIT", -1.0)
    looked = search([tmp_path, tmp_path], WANTED)
    assert looked.files == 1 and "name a part of it" in looked.notes()[0] and looked.found


# --- the store -------------------------------------------------------------------------------------


def test_a_store_in_which_others_put_things(own_store: Path, bench: Bench) -> None:
    own_store.mkdir(parents=True)
    bench.monkeypatch.setenv("EVALKIT_CONFIG", str(own_store.parent))
    os.mkfifo(own_store / f"{'a' * 64}.txt")
    (own_store / f"{'b' * 64}.txt").mkdir()
    (own_store / f"{'c' * 64}.txt").symlink_to("/dev/zero")
    (own_store / f"{digest(TEXT)}.txt").write_bytes(TEXT.encode()[:-3])  # torn
    (own_store / ".new-leftover").write_text("x")
    import hashlib

    binary = b"\xff\xfe"
    (own_store / f"{hashlib.sha256(binary).hexdigest()}.txt").write_bytes(binary)
    with (own_store / f"{'d' * 64}.txt").open("wb") as file:
        file.truncate(1 << 40)
    for name in store.stored():
        with pytest.raises(UsageError):
            store.read(name)
    done = bench.here("prompts", "verify")
    assert done.code == 1 and done.err.count("delete it") == 6, done.said
    assert store.keep(TEXT) and store.read(digest(TEXT)) == TEXT
    for name in ("a", "b"):
        assert (own_store / f"{name * 64}.txt").exists(), "nothing of somebody else's is removed"


def test_two_imports_at_once(own_store: Path) -> None:
    texts = [f"{TEXT}{k}" for k in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store.keep, texts * 8))
    assert [store.read(digest(t)) for t in texts] == texts
    assert len(list(own_store.iterdir())) == len(texts), "no leftovers"


def test_nobody_knows_the_home_folder(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    for name in ("HOME", "EVALKIT_CONFIG", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(UsageError, match=r"HOME is not set.*EVALKIT_CONFIG"):
        config.config_dir()
    (bench.tmp / "a.txt").write_text(TEXT)
    bench.environ = {"EVALKIT_CONFIG": "~/x"}
    monkeypatch.delenv("HOME", raising=False)
    done = bench.here("prompts", "import", bench.tmp / "a.txt")
    assert done.code == 2 and "HOME is not set" in done.err and "EVALKIT_CONFIG" in done.err, done.said
