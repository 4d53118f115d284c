"""Imported texts: found by their digest whatever the layout, within bounds; kept to the byte and checked on use."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest

from evalkit.errors import UsageError
from evalkit.wording import store, trees
from evalkit.wording.literals import literals
from evalkit.wording.search import search
from evalkit.wording.wanted import Digests, Wanted
from judges.official import public_texts, rendered_wrongly, wanted_texts
from tests.toolkit_fixtures import checkout, digest, made_up, own_store

__all__ = ["own_store"]

# --- the store -------------------------------------------------------------------------------------


def test_a_text_is_kept_to_the_byte_and_for_its_user_alone(own_store: Path) -> None:
    text = "\ntwo\r\nlines ’ \n\n"
    assert store.keep(text) and not store.keep(text)
    path = own_store / f"{digest(text)}.txt"
    assert path.read_bytes() == text.encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(own_store.stat().st_mode) == 0o700
    assert store.read(digest(text)) == text and store.stored() == [digest(text)]
    assert [p.name for p in own_store.iterdir()] == [path.name]


def test_an_altered_text_is_told_and_mended_by_another_import(own_store: Path) -> None:
    store.keep("official text")
    path = own_store / f"{digest('official text')}.txt"
    path.write_text("altered")
    with pytest.raises(store.Altered, match=r"was altered.*prompts import"):
        store.read(digest("official text"))
    assert store.keep("official text") and store.read(digest("official text")) == "official text"


def test_a_store_that_can_t_be_written_is_told(own_store: Path) -> None:
    own_store.parent.mkdir()
    own_store.write_text("a file in its place")
    assert store.read("0" * 64) is None and store.stored() == []
    with pytest.raises(UsageError, match="EVALKIT_CONFIG"):
        store.keep("some text")


# --- the search ------------------------------------------------------------------------------------


def found_in(name: str, data: bytes, text: str, *names: str) -> list[tuple[str, int, str]]:
    """(how it differs, line, name) of each place where a wanted text is found."""
    digests = Digests([Wanted(digest(text), "wanted", names=names)])
    return [
        (how, x.line, x.name)
        for x in literals(name, data)
        for _, t, how in digests.match(x.text)
        if t == text
    ]


TEXT = "Rate the answer.\n\nAsked: {question}\nSaid: {prediction}"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.py", f'P = """{TEXT}"""'),
        ("a.py", f"def f():\n    class B:\n        D = {{'k': {{'l': [{TEXT!r}]}}}}"),
        ("a.py", f"P = ({TEXT[:9]!r}\n    {TEXT[9:]!r})"),
        ("a.py", f"P = {TEXT[:9]!r} + {TEXT[9:20]!r} + {TEXT[20:]!r}"),
        ("a.py", f"P = '\\n'.join({TEXT.splitlines()!r})"),
        ("a.py", f'P = """\n{TEXT}\n""".strip()'),
        (
            "a.py",
            'P = textwrap.dedent("""\n    '
            + TEXT.replace("\n\n", "\n\n    ").replace("\nS", "\n    S")
            + '""")',
        ),
        ("a.py", f'P = f"""{TEXT}"""'),
        ("a.py", f"X = '\x0c \u2028 é'; P = f'''{TEXT}'''"),
        ("a.py", f'print "Python 2"\nP = """{TEXT}"""'),
        ("a.py", f"print 'Python 2'\nP = ({TEXT[:9]!r}\n {TEXT[9:]!r})"),
        ("a.py", f'{{{{ cookiecutter }}}}\nP = """{TEXT}"""'),
        ("a.js", f'const p = """{TEXT}"""'),
        ("a.yaml", json.dumps({"a": [{"b": TEXT}]})),
        ("a.yml", "a: |-\n" + "".join(f"  {line}\n" for line in TEXT.splitlines()) + "b: !function x.y\n"),
        ("a.json", json.dumps({"a": [1, {"b": TEXT}]})),
        ("a.jsonl", "not json\n" + json.dumps([TEXT]) + "\n"),
        ("a.ipynb", json.dumps({"source": TEXT.splitlines(keepends=True)})),
        ("a.txt", TEXT),
        ("PROMPT", TEXT + "\n"),
        ("a.md", "\ufeff" + TEXT.replace("\n", "\r\n")),
        ("a.j2", f"\n\n{TEXT}\n\n"),
        ("a.py", 'P = """' + TEXT.replace("{question}", "{q}").replace("{prediction}", "{a}") + '"""'),
        (
            "a.py",
            'P = f"""' + TEXT.replace("{question}", "{doc['q']}").replace("{prediction}", "{a.b}") + '"""',
        ),
    ],
)
def test_a_text_is_found_whatever_the_layout(name: str, data: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found_in(name, data.encode(), TEXT, "{question}", "{prediction}")


def test_a_yaml_scalar_is_folded_as_yaml_does_it() -> None:
    folded = b"chat:\n  template: 'It''s one\n    line   with {{ a }}\n    and {{ b }}'\n"
    assert found_in("a.yaml", folded, "It's one line   with {{ a }} and {{ b }}") == [("", 2, "template")]


def test_the_place_is_told() -> None:
    source = f"import os\n\nclass A:\n    PROMPTS = {{'open': {TEXT!r}}}\n"
    assert ("", 4, "A.PROMPTS['open']") in found_in("a.py", source.encode(), TEXT)


def test_a_retyped_prompt_is_told_as_such() -> None:
    original = '\nIs the model’s answer right? \nIn: {question}\nOut: {prediction}\nSay "yes" or "no".\n'
    retyped = 'Is the model\'s answer right? \nIn: {prompt}\nOut: {response}\nSay "Yes" or "No".'
    found = found_in("a.py", f"P = {retyped!r}".encode(), original, "{question}", "{prediction}")
    assert found[0][0] == (
        "placeholders renamed, curly apostrophes, quoted words in lower case, with line breaks around it"
    )


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.py", b"x = " + b"(" * 5000 + b")" * 5000),
        ("a.py", b"x = " + b" + ".join([b"'a'"] * 5000)),
        ("a.py", b"\xff\xfe\x00x"),
        ("a.py", b'"""' * 5001),
        ("a.json", b"[" * 100_000),
        ("a.yaml", b"a: &a [x]\n" + b"".join(b"b%d: [*a, *a]\n" % i for i in range(99)) + b"\t: :"),
        ("a.yaml", b"!!python/object/apply:os.system ['false']"),
        ("a.py", "é = f'{x!r:>{y}}' f\"{'a' 'b'}\"\n".encode()),
        ("a.py", b"\n" * 9 + b"f'''{\n1}'''"),
    ],
)
def test_hostile_files_are_gone_through(name: str, data: bytes) -> None:
    assert found_in(name, data, "nothing of the kind") == []


def archive_of(root: Path, path: Path) -> Path:
    """The folder as an archive of the kind its name tells."""
    members = [p for p in sorted(root.rglob("*")) if p.is_file()]
    if path.suffix in (".zip", ".whl"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            for p in members:
                out.write(p, f"top/{p.relative_to(root)}")
    else:
        with tarfile.open(path, "w:gz") as out:
            for p in members:
                out.add(p, f"top/{p.relative_to(root)}")
    return path


@pytest.mark.parametrize("kind", ["folder", "x.zip", "x.whl", "x.tar.gz", "x.tgz"])
def test_every_text_of_the_toolkits_is_found(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with made_up(monkeypatch) as texts:
        root = checkout(tmp_path / "tools", texts)
        path = root if kind == "folder" else archive_of(root, tmp_path / kind)
        looked = search([path], wanted_texts())
        assert {f.text for f in looked.found.values()} == set(texts.values())
        assert all(rendered_wrongly(public_texts()[f.sha256], f.text) is None for f in looked.found.values())
        where = {f.text: f for f in looked.found.values()}
        assert where[texts["bb32b1acf25052aafbc5d38c0a7b231ed4ad1de637cdfc8f87c3d2ec2ec03d33"]].name == (
            "OpenAudioBench_PROMPTS['alpaca_eval']"
        )
        assert {f.how for f in looked.found.values()} == {
            "",
            "line ends and byte order mark as in the original",
            "without the final line break",
        }


def test_links_and_version_control_are_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_text(TEXT)
    tree = tmp_path / "tree"
    (tree / ".git").mkdir(parents=True)
    (tree / ".git" / "a.txt").write_text(TEXT)
    (tree / "link.txt").symlink_to(outside / "a.txt")
    (tree / "folder").symlink_to(outside)
    (tree / "loop").symlink_to(tree)
    os.mkfifo(tree / "pipe")
    wanted = [Wanted(digest(TEXT), "w")]
    assert search([tree], wanted).found == {}
    linked = tmp_path / "named"
    linked.symlink_to(outside)
    assert search([linked], wanted).found, "what the user names is read"


def test_archives_are_read_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "FILE_LIMIT", 1000)
    monkeypatch.setattr(trees, "BYTES_LIMIT", 5000)
    bomb, tar = tmp_path / "bomb.zip", tmp_path / "bomb.tar.gz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("large.txt", "x" * 100_000)
        out.writestr("../../escape\n.txt", TEXT)
        for k in range(20):
            out.writestr(f"{k}.txt", "y" * 900)
    with tarfile.open(tar, "w:gz") as archive:
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        huge = tarfile.TarInfo("huge")
        huge.size = 100_000
        archive.addfile(huge, io.BytesIO(bytes(100_000)))
    looked = search([bomb], [Wanted(digest(TEXT), "w")])
    assert looked.large == 1 and looked.cut_off and len(looked.notes()) == 2
    assert [f.file for f in looked.found.values()] == ["../../escape?.txt"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bomb.tar.gz", "bomb.zip"]
    assert search([tar], []).cut_off


@pytest.mark.parametrize("name", ["no.zip", "no.tar.gz", "no.whl"])
def test_what_is_no_archive_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(UsageError, match=r"archive .* can't be read"):
        search([tmp_path / name], [])
    with pytest.raises(UsageError, match="there is no checkout"):
        search([tmp_path / "missing"], [])
