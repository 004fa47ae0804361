"""Chunks of records on disk: what is finished stays, whatever happens to the rest."""

import errno
import os

import numpy as np
import pytest

pytest.importorskip("grain", reason="needs the extra train")

from bark_jax.data.manifest import TokenSpec
from bark_jax.data.records import Record, open_source
from bark_jax.preparation import shard_builder
from bark_jax.preparation.corpus import Skipped
from bark_jax.preparation.shard_builder import ShardBuilder, plan_chunks
from bark_jax.runtime.locks import InUseError
from tests import tiny

SPEC = TokenSpec.of(tiny.CONFIG, tiny.make_bark().runner.tokenizer)
ROWS = {f"row{i}": f"row{i}" for i in range(30)}
CHUNKS = plan_chunks(ROWS, eval_share=0.2, chunk_rows=8)
SETTINGS = {"a": 1, "nested": {"b": [1, 2]}}


def make(name):
    """A record of each row, but for two."""
    if name in ("row3", "row4"):
        return Skipped(name, "it is bad")
    i = int(name.removeprefix("row"))
    codes = np.full((5, 10), i % 20, np.int32)
    ids = np.arange(3, dtype=np.int32)
    return Record(name, f"text {i}", "", ids, np.full(4, i, np.int32), codes)


def build(out, chunks=CHUNKS, settings=SETTINGS, stop_after=None):
    with ShardBuilder(out, settings) as builder:
        if (done := builder.finished()) is not None:
            return done
        for n, chunk in enumerate(builder.todo(chunks)):
            if n == stop_after:
                raise KeyboardInterrupt
            builder.finish(chunk, [make(row) for row in chunk.rows])
        return builder.complete(chunks, SPEC, [Skipped("line 9", "no row")])


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "data"
    return out, build(out)


def test_rows_are_split_by_their_ids_alone():
    split_of = {row: chunk.split for chunk in CHUNKS for row in chunk.rows}
    assert sorted(split_of) == sorted(ROWS)
    assert 0 < list(split_of.values()).count("eval") < 15
    fewer = plan_chunks(dict(list(ROWS.items())[::-2]), eval_share=0.2, chunk_rows=3)
    assert all(split_of[row] == chunk.split for chunk in fewer for row in chunk.rows)


def test_chunks_keep_the_order_and_their_size():
    train = [chunk for chunk in CHUNKS if chunk.split == "train"]
    assert [chunk.index for chunk in train] == list(range(len(train)))
    assert {len(chunk.rows) for chunk in train[:-1]} == {8}
    rows = [row for chunk in train for row in chunk.rows]
    assert rows == sorted(rows, key=list(ROWS).index)


@pytest.mark.parametrize(
    ("n", "share", "counts"),
    [(2, 0.01, (1, 1)), (1, 0.5, (1, 0)), (2, 0.999, (1, 1)), (9, 0, (9, 0))],
)
def test_small_sets_have_both_parts_if_they_can(n, share, counts):
    chunks = plan_chunks({f"{i}": i for i in range(n)}, eval_share=share, chunk_rows=100)
    sizes = [sum(len(c.rows) for c in chunks if c.split == s) for s in ("train", "eval")]
    assert tuple(sizes) == counts


@pytest.mark.parametrize("wrong", [{"eval_share": 1.0}, {"eval_share": -0.1}, {"chunk_rows": 0}])
def test_plans_out_of_range_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        plan_chunks(ROWS, **{"eval_share": 0.1, "chunk_rows": 5} | wrong)


def test_the_end_is_a_manifest_with_sums_and_reasons(whole):
    out, manifest = whole
    assert manifest.n_records("train") + manifest.n_records("eval") == 28
    counts = manifest.counts["train"]
    assert counts["n_records"] == manifest.n_records("train")
    assert counts["n_semantic"] == 4 * counts["n_records"]
    assert counts["audio_s"] == 10 / 25 * counts["n_records"]  # 10 frames at 25 Hz
    assert manifest.n_skipped == 3
    skipped = (out / "skipped.jsonl").read_text()
    assert '{"id": "row3", "reason": "it is bad"}' in skipped and '"line 9"' in skipped
    assert not (out / "progress").exists() and not (out / ".lock").exists()
    assert len(open_source(out, "train")) == manifest.n_records("train")


@pytest.mark.parametrize("stop_after", [0, 1, 3])
def test_a_run_that_is_cut_off_goes_on_to_the_same_files(whole, tmp_path, stop_after):
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, stop_after=stop_after)
    assert not (tmp_path / "manifest.json").exists()
    (tmp_path / ".train-tokens-00003.array_record.partial").touch()  # of a killed one
    with ShardBuilder(tmp_path, SETTINGS) as builder:
        assert len(builder.todo(CHUNKS)) == len(CHUNKS) - stop_after
    build(tmp_path)
    assert contents(tmp_path) == contents(whole[0])


def test_the_same_run_again_changes_nothing(whole):
    out, manifest = whole
    before = contents(out)
    assert build(out) == manifest
    assert contents(out) == before


def test_other_settings_want_another_folder(whole, tmp_path):
    other = {"a": 1, "nested": {"b": [1, 3]}, "c": None}
    with pytest.raises(ValueError, match=r"\(nested.b was \[1, 2\], is \[1, 3\]\)"):
        build(whole[0], settings=other)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, stop_after=1)
    with pytest.raises(ValueError, match="holds data made otherwise"):
        build(tmp_path, settings=other)


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"holds other things: \['thesis.tex'\]"):
        build(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_runs_cannot_share_a_folder(tmp_path):
    with ShardBuilder(tmp_path, SETTINGS), pytest.raises(InUseError, match="in use by process"):
        build(tmp_path)


def test_no_record_at_all_is_an_error_and_can_be_tried_again(tmp_path):
    chunks = plan_chunks({"row3": "row3", "row4": "row4"}, eval_share=0, chunk_rows=1)
    with pytest.raises(
        ValueError, match=r"no record was made: 3 rows were skipped; line 9: no row"
    ):
        build(tmp_path, chunks)
    assert "row4" in (tmp_path / "skipped.jsonl").read_text()
    assert build(tmp_path).n_records("train")


def test_a_full_disk_is_said_and_the_run_can_go_on(whole, tmp_path, monkeypatch):
    real, calls = shard_builder.write_shards, []

    def fail(*args):
        calls.append(args)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    monkeypatch.setattr(shard_builder, "write_shards", fail)
    with pytest.raises(OSError, match=r"No space left.*What is finished stays"):
        build(tmp_path)
    build(tmp_path)
    assert len(calls) == len(CHUNKS) + 1  # the first chunk was not made again
    assert contents(tmp_path).keys() == contents(whole[0]).keys()


def test_what_belongs_to_the_data_arrives_with_the_end(tmp_path):
    with ShardBuilder(tmp_path, SETTINGS) as builder:
        folder = builder.kept("extra")
        folder.mkdir(parents=True)
        (folder / "file").touch()
        assert not (tmp_path / "extra").exists()
    build(tmp_path)
    assert (tmp_path / "extra" / "file").is_file()
