"""Files that are written whole or not at all, under any name that a file system takes."""

import os

import pytest

from bark_jax.runtime import files
from bark_jax.runtime.files import check_writable, read_json, replacing


@pytest.mark.parametrize("name", ["a" * 251 + ".wav", "é" * 125 + ".wav", "字" * 83 + ".wav"])
def test_the_longest_names_are_written(tmp_path, name):
    assert 250 <= len(os.fsencode(name)) <= 255
    path = tmp_path / name
    check_writable(path)
    with replacing(path) as partial:
        assert partial.parent == path.parent and partial.name.startswith(f".{name[:60]}")
        partial.write_text("x")
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_an_error_leaves_the_old_file_alone(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(KeyError), replacing(tmp_path / "a") as partial:
        partial.write_text("new")
        raise KeyError
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("a", "old")]


def test_what_cannot_be_written_is_found_out_before(tmp_path):
    for path, why in (
        (tmp_path / ("a" * 256), "File name too long"),
        (tmp_path, "Is a directory"),
        (tmp_path / "none" / "a.wav", "No such file or directory"),
        (tmp_path.parents[-1] / "proc" / "a.wav", "cannot write /proc/a.wav"),
    ):
        with pytest.raises(OSError, match=why):
            check_writable(path)
    check_writable(tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_json_is_read_as_an_object_or_refused_by_name(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    for content, problem in (
        (b'{"a": 1', "it is not JSON"),
        (b"[1]", "it is not a JSON object but list"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'{"a": "\xff"}', r"line 1: byte 0xff is not UTF-8"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"config\.json[:,] {problem}"):
            read_json(path)
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path) == {"a": 1}
    monkeypatch.setattr(files, "MOST_JSON_BYTES", 7)
    with pytest.raises(ValueError, match=r"config\.json has over 0 MiB"):
        read_json(path)
