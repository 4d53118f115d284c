"""Sources: every layout, every file kind, one sentence for what is missing, and flat memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evalkit.audio import encode_wav
from evalkit.errors import UsageError
from evalkit.records import Turn
from evalkit.sources import (
    DataOptions,
    HubData,
    Row,
    fetch_origin,
    fetch_origins,
    open_source,
    read_rows,
)

SPEC = HubData("hlt-lab/voicebench", "sd-qa", ("usa", "aus"), licence="Apache-2.0")
PLAIN = HubData("TwinkStart/llama-questions")
ROWS = [{"id": "a", "prompt": "One?"}, {"id": "b", "prompt": "Zwei – 二?"}]


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows in the format that the suffix names."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".parquet":
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=5)
    elif file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    elif file.suffix == ".json":
        file.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    else:
        with file.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, list(rows[0]), delimiter="\t" if file.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return file


def local(spec: HubData, folder: Path) -> list[Row]:
    return list(open_source(spec, DataOptions(data_dir=str(folder)), task="bench/sub").rows())


# --- layouts and file kinds ----------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".json", ".csv", ".tsv"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "data" / f"test{suffix}", ROWS)
    got = local(PLAIN, tmp_path)
    assert got == ROWS
    assert [(r.number, r.split, r.where) for r in got] == [
        (i, "test", f"row {i} of test{suffix}") for i in (0, 1)
    ]


@pytest.mark.parametrize("root", ["hlt-lab/voicebench", "voicebench", "."])
@pytest.mark.parametrize("inner", ["sd-qa", "data/sd-qa", "sd-qa/data"])
@pytest.mark.parametrize("name", ["{}-00000-of-00001", "{}"])
def test_every_place_a_split_may_lie_in(tmp_path: Path, root: str, inner: str, name: str) -> None:
    for split in SPEC.splits:
        write(tmp_path / root / inner / f"{name.format(split)}.jsonl", [{"id": split}])
    got = local(SPEC, tmp_path)
    assert [(r["id"], r.split) for r in got] == [("usa", "usa"), ("aus", "aus")]
    assert got[0].root == str(tmp_path / root)


def test_shards_are_read_in_order_and_numbered_by_file(tmp_path: Path) -> None:
    for i in (1, 0, 10):
        write(tmp_path / f"test-{i:05}-of-00011.jsonl", [{"id": f"{i}.0"}, {"id": f"{i}.1"}])
    got = local(PLAIN, tmp_path)
    assert [r["id"] for r in got] == ["0.0", "0.1", "1.0", "1.1", "10.0", "10.1"]
    assert [r.number for r in got] == [0, 1] * 3


def test_a_split_is_not_taken_for_another_that_begins_alike(tmp_path: Path) -> None:
    write(tmp_path / "sd-qa" / "usa_old.jsonl", [{"id": "old"}])
    write(tmp_path / "sd-qa" / "usa.jsonl", [{"id": "usa"}])
    write(tmp_path / "sd-qa" / "aus.jsonl", [{"id": "aus"}])
    assert [r["id"] for r in local(SPEC, tmp_path)] == ["usa", "aus"]


def test_a_missing_split_says_where_it_looked(tmp_path: Path) -> None:
    write(tmp_path / "sd-qa" / "usa.jsonl", ROWS)
    with pytest.raises(UsageError) as caught:
        local(SPEC, tmp_path)
    said = str(caught.value)
    assert all(
        word in said for word in ("bench/sub", "sd-qa", "hlt-lab/voicebench", str(tmp_path), "Expected")
    )


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        local(SPEC, tmp_path / "nowhere")


def test_smoke_data_may_hold_some_splits_only(tmp_path: Path) -> None:
    write(tmp_path / "sd-qa" / "aus.jsonl", ROWS)
    source = open_source(SPEC, DataOptions(data_dir=str(tmp_path), smoke=True), task="bench/sub")
    assert [r.split for r in source.rows()] == ["aus", "aus"]
    assert source.describe()["kind"] == "smoke"


def test_describe_is_what_the_signature_needs(tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", ROWS)
    source = open_source(PLAIN, DataOptions(data_dir=str(tmp_path)), task="bench/sub")
    assert source.describe() == {
        "repo": "TwinkStart/llama-questions",
        "config": None,
        "splits": ["test"],
        "revision": None,
        "kind": "local",
        "licence": "not stated",
    }


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("test.jsonl", b'{"id": 1}\n{"id": 2', r"test\.jsonl:2: not JSON"),
        ("test.jsonl", b"[1]\n", r"test\.jsonl:1: expected an object, found list"),
        ("test.jsonl", b'{"id": "\xff"}\n', r"test\.jsonl.*UTF-8"),
        ("test.json", b"{}", r"test\.json: expected a list of objects"),
        ("test.json", b"[1, 2]", r"test\.json: expected an object, found int"),
        ("test.json", b"[", r"test\.json: not JSON"),
        ("test.csv", b"id\n\xff\n", r"test\.csv.*UTF-8"),
        ("test.parquet", b"PAR1 but no more", r"test\.parquet can't be read as parquet"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=said):
        local(PLAIN, tmp_path)


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text('\n{"id": 1}\n  \n{"id": 2}\n\n')
    assert local(PLAIN, tmp_path) == [{"id": 1}, {"id": 2}]


def test_a_table_as_spreadsheets_write_it(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_bytes(b'\xef\xbb\xbfid,prompt\r\na,"one, ""two""\nthree"\r\n')
    assert local(PLAIN, tmp_path) == [{"id": "a", "prompt": 'one, "two"\nthree'}]


def test_a_long_cell_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("id,prompt\na," + "x" * 200_000 + "\n")
    assert len(local(PLAIN, tmp_path)[0]["prompt"]) == 200_000


# --- rows ----------------------------------------------------------------------------------------


def row(tmp_path: Path, **values: Any) -> Row:
    return Row(values, file=str(tmp_path / "x-1.jsonl"), number=17, split="test", root=str(tmp_path))


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        row(tmp_path, id=1, answer="x")["Answer"]
    said = str(caught.value)
    assert "row 17 of x-1.jsonl has no column 'Answer' (found: id, answer)" in said and "--data-dir" in said
    assert row(tmp_path, id=1).get("Answer") is None


def test_audio_as_struct_path_or_bytes(tmp_path: Path) -> None:
    sound = encode_wav([0.0] * 10, 16000)  # type: ignore[arg-type]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.wav").write_bytes(sound)
    one = row(tmp_path, audio={"bytes": sound, "path": "y.FLAC"}).audio()
    assert (one.data, one.path, one.format) == (sound, None, "flac")
    assert one.origin == f"{tmp_path}/x-1.jsonl#row=17&column=audio"
    two = row(tmp_path, speech={"bytes": None, "path": "a/x.wav"}).audio("speech")
    three = row(tmp_path, audio="a/x.wav").audio()
    assert two == three
    assert (three.path, three.data, three.format) == (str(tmp_path / "a" / "x.wav"), None, "wav")
    assert three.read() == sound and fetch_origin(str(three.origin)) == sound
    assert row(tmp_path, audio=sound).audio().data == sound


@pytest.mark.parametrize(
    "empty", [None, "", b"", {"bytes": None, "path": None}, {"bytes": b"", "path": ""}, []]
)
def test_an_empty_audio_cell_is_told(tmp_path: Path, empty: Any) -> None:
    with pytest.raises(UsageError, match=r"row 17 of x-1\.jsonl: the audio column 'audio' is empty"):
        row(tmp_path, audio=empty).audio()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (7, "neither a path nor encoded audio"),
        (["a/x.wav"], "neither a path nor encoded audio"),
        ({"array": [0.1], "sampling_rate": 16000}, "neither a path nor encoded audio"),
        ("https://example.org/x.wav", "is an address; fetch it"),
    ],
)
def test_what_is_no_audio_is_told(tmp_path: Path, value: Any, words: str) -> None:
    with pytest.raises(UsageError, match=rf"row 17 of x-1\.jsonl: the audio .*{words}"):
        row(tmp_path, audio=value).audio()


def test_an_absolute_path_inside_the_folder_is_inside(tmp_path: Path) -> None:
    assert row(tmp_path, audio=f"{tmp_path}/a/x.wav").audio() == row(tmp_path, audio="a/x.wav").audio()
    with pytest.raises(UsageError, match="leaves its folder"):
        row(tmp_path, audio=f"{tmp_path}/../x.wav").audio()


@pytest.mark.parametrize("tail", ['b,"y\n', 'b,"y\nc,z\n', 'b,"y', '"b,y\nc,z'])
def test_a_quotation_mark_that_nothing_closes_swallows_no_rows(tmp_path: Path, tail: str) -> None:
    (tmp_path / "x.csv").write_text("id,text\na,x\n" + tail)
    with pytest.raises(UsageError, match=r"x\.csv:3: a quotation mark opens a cell"):
        list(read_rows(str(tmp_path / "x.csv"), split="test", root=str(tmp_path)))


@pytest.mark.parametrize(
    ("text", "n"), [("", 0), ("id,text\n", 0), ("id,text\na,x", 1), ('id,text\r\n\r\na,"x\ny"\r\n\n', 1)]
)
def test_tables_end_where_they_end(tmp_path: Path, text: str, n: int) -> None:
    (tmp_path / "x.csv").write_bytes(text.encode())
    found = list(read_rows(str(tmp_path / "x.csv"), split="test", root=str(tmp_path)))
    assert len(found) == n and all(set(r) == {"id", "text"} for r in found)


@pytest.mark.parametrize("name", ["x.jsonl", "x.json"])
def test_what_is_nested_too_deeply_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("[" * 100_000)
    with pytest.raises(UsageError, match="nested too deeply"):
        list(read_rows(str(tmp_path / name), split="test", root=str(tmp_path)))


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.wav", "a/../../x.wav"])
def test_an_audio_path_may_not_leave_the_folder(tmp_path: Path, path: str) -> None:
    for cell in (path, {"bytes": None, "path": path}):
        with pytest.raises(UsageError, match=r"row 17 .*leaves its folder"):
            row(tmp_path, audio=cell).audio()


def test_a_row_given_with_a_prediction_may_lack_audio(tmp_path: Path) -> None:
    given = Row({"prompt": "?"}, file="p.jsonl", number=0, split="test", root=str(tmp_path), given=True)
    assert given.user_turn() == Turn("user", ())
    with pytest.raises(UsageError, match="no column 'audio'"):
        row(tmp_path, prompt="?").user_turn()


def test_stable_ids_come_from_content_not_place(tmp_path: Path) -> None:
    a, b = row(tmp_path, q="x", r="y"), row(tmp_path, q="x", r="z")
    b.number = 3
    assert a.stable_id("q") == b.stable_id("q") != a.stable_id("q", "r") != b.stable_id("q", "r")
    assert len(a.stable_id("q")) == 12
    a.file_id = "given"
    assert a.stable_id("q") == "given"


# --- streaming -----------------------------------------------------------------------------------


def test_rows_are_made_when_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "test-0.jsonl", ROWS)
    (tmp_path / "test-1.jsonl").write_text("broken")
    rows = iter(open_source(PLAIN, DataOptions(data_dir=str(tmp_path)), task="t/t").rows())
    assert [next(rows)["id"], next(rows)["id"]] == ["a", "b"]
    with pytest.raises(UsageError, match="test-1"):
        next(rows)


def test_a_parquet_file_is_read_a_few_rows_at_a_time(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    size, many = 100_000, 400
    column = [{"bytes": bytes([i % 256]) * size, "path": f"{i}.wav"} for i in range(many)]
    pq.write_table(pa.table({"audio": column}), tmp_path / "test.parquet", row_group_size=20)
    del column
    pool = pa.default_memory_pool()
    before, peak, n = pool.bytes_allocated(), 0, 0
    for r in local_rows(tmp_path):
        n += 1
        peak = max(peak, pool.bytes_allocated() - before)
        assert len(r.audio().data or b"") == size
    assert n == many
    assert peak < many * size / 4


def local_rows(folder: Path) -> Iterator[Row]:
    return open_source(PLAIN, DataOptions(data_dir=str(folder)), task="t/t").rows()


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.parquet").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"evalkit\[data\]"):
        next(read_rows(str(tmp_path / "x.parquet"), split="test", root=str(tmp_path)))


# --- the way back --------------------------------------------------------------------------------


def test_origins_lead_back_to_the_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "a folder & more #row=3"
    sounds = [encode_wav([i / 100] * 10, 16000) for i in range(23)]  # type: ignore[arg-type]
    rows = [
        {"id": i, "audio": {"bytes": s, "path": None}, "second audio+x&y": s[::-1]}
        for i, s in enumerate(sounds)
    ]
    write(folder / "test.parquet", rows)
    got = local(PLAIN, folder)
    origins = [str(r.audio(c).origin) for r in got for c in ("audio", "second audio+x&y")]
    want = [x for s in sounds for x in (s, s[::-1])]
    assert len(set(origins)) == 46
    assert [fetch_origin(o) for o in origins] == want
    assert fetch_origins(reversed(origins)) == dict(zip(origins, want, strict=True))
    assert fetch_origins(origins[7:8]) == {origins[7]: want[7]}


def test_origins_that_lead_nowhere_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "test.parquet", [{"id": i, "audio": b"x"} for i in range(3)])
    (tmp_path / "junk.parquet").write_bytes(b"junk")
    gone = [
        *(
            f"{tmp_path}/test.parquet#row={r}&column={c}"
            for r, c in [(3, "audio"), (0, "nope"), ("x", "audio")]
        ),
        *(f"{tmp_path}/{f}#row=0&column=audio" for f in ("gone.parquet", "junk.parquet")),
        f"{tmp_path}/test.parquet#row=0&column=id",
        f"{tmp_path}/gone.wav",
        "hf://datasets/a/b@c/test.parquet#row=0&column=audio",
        f"{tmp_path}/test.parquet#row=",
        "",
    ]
    assert [fetch_origin(o) for o in gone] == [None] * len(gone)
    here = f"{tmp_path}/test.parquet#row=1&column=audio"
    assert fetch_origins([*gone, here]) == {here: b"x"}


# --- declared layouts, mirrors, pins ---------------------------------------------------------------

TREE = HubData("acme/books", files=("Books/*/*.trans.txt", "eval/{config}/{split}.csv"), config="easy")


def test_declared_files_come_before_the_usual_layouts(tmp_path: Path) -> None:
    write(tmp_path / "data/easy/test.jsonl", [{"id": "usual"}])
    assert [r["id"] for r in local(TREE, tmp_path)] == ["usual"]
    write(tmp_path / "acme/books/eval/easy/test.csv", [{"id": "declared"}])
    assert [r["id"] for r in local(TREE, tmp_path)] == ["declared"]


def test_a_tree_of_transcripts_is_read_and_its_audio_found_beside_it(tmp_path: Path) -> None:
    for reader in ("12", "7"):
        folder = tmp_path / "Books" / reader
        folder.mkdir(parents=True)
        (folder / f"{reader}.trans.txt").write_text(
            f"{reader}-0 SOME  WORDS\n\n{reader}-1\n", encoding="utf-8"
        )
        (folder / f"{reader}-0.flac").write_bytes(b"fLaC")
    rows = local(TREE, tmp_path)
    assert rows == [
        {"id": f"{r}-{k}", "text": t} for r in ("12", "7") for k, t in ((0, "SOME  WORDS"), (1, ""))
    ]
    assert rows[2].locate("7-0.wav", "7-0.flac").path == str(tmp_path / "Books/7/7-0.flac")
    assert rows[3].locate("7-1.flac").path == str(tmp_path / "Books/7/7-1.flac"), (
        "the first place, to be named as missing"
    )


def test_audio_is_looked_for_beside_the_file_and_below_the_root_and_nowhere_else(tmp_path: Path) -> None:
    write(tmp_path / "acme/books/eval/easy/test.csv", [{"id": "a"}])
    (tmp_path / "acme/books/wav").mkdir()
    (tmp_path / "acme/books/wav/a.wav").write_bytes(b"RIFF")
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    (row,) = local(TREE, tmp_path)
    assert row.locate("wav/a.wav").path == str(tmp_path / "acme/books/wav/a.wav")
    for outside in ("../../../../secret.wav", str(tmp_path / "secret.wav")):
        with pytest.raises(UsageError, match="leaves its folder"):
            row.locate(outside)
    with pytest.raises(UsageError, match="names no audio"):
        row.locate()


def test_a_missing_layout_names_what_was_declared(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Books/\*/\*\.trans\.txt or eval/easy/test\.csv"):
        local(TREE, tmp_path)


def test_a_mirror_is_read_in_its_own_layout_and_a_copy_in_ours(tmp_path: Path) -> None:
    mirror = HubData("other/books", "hard", ("dev",))
    spec = HubData("acme/books", "easy", citation="arXiv 1", edition="2.0", mirrors=(mirror,))
    assert spec.at("acme/books") is spec
    found = spec.at("other/books")
    assert (found.config, found.splits, found.citation, found.edition) == ("hard", ("dev",), "arXiv 1", "2.0")
    copy = spec.at("my/copy")
    assert (copy.repo, copy.config, copy.splits) == ("my/copy", "easy", ("test",))
    elsewhere = HubData("acme/books", hosted=False, withdrawn="is gone", mirrors=(mirror,)).at("my/copy")
    assert (elsewhere.repo, elsewhere.hosted, elsewhere.withdrawn) == ("my/copy", True, "")
    with pytest.raises(UsageError, match="with --data-repo a copy of other/books"):
        open_source(spec, DataOptions(data_dir=str(tmp_path)), task="bench/sub")
    write(tmp_path / "other/books/hard/dev.jsonl", [{"id": "there"}])
    source = open_source(spec.at("other/books"), DataOptions(data_dir=str(tmp_path)), task="bench/sub")
    assert [r["id"] for r in source.rows()] == ["there"] and source.describe()["repo"] == "other/books"


def test_pinned_files_are_told_from_others(tmp_path: Path) -> None:
    import hashlib

    file = write(tmp_path / "data/test.json", [{"id": "a"}])
    right = hashlib.sha256(file.read_bytes()).hexdigest()
    for pins, told in (({}, None), ({"test.json": right}, True), ({"test.json": "0" * 64}, False)):
        spec = HubData("acme/pinned", pins=pins)
        source = open_source(spec, DataOptions(data_dir=str(tmp_path)), task="bench/sub")
        assert source.describe().get("pinned") == told
