"""Files of lines: their ends, encodings, and rows that are appended after a kill."""

import json

import pytest

from bark_jax.runtime import lines
from bark_jax.runtime.lines import appending_rows, lines_of, parse_object, read_lines, read_rows


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("\n", [""]),
        ("a\nb", ["a", "b"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("a\rb\u2028c\x85d\n\n", ["a\rb\u2028c\x85d", ""]),
    ],
)
def test_lines_end_at_line_feeds(text, found):
    assert lines_of(text) == found


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfone\n")
    assert read_lines(tmp_path / "a") == ["one"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"", b""),
        (b'{"a": 1}\n', b'{"a": 1}\n'),
        (b'{"a": 1}\n{"b": 2', b'{"a": 1}\n'),  # killed while writing
        (b'{"a": 1}\n{"b": 2}', b'{"a": 1}\n{"b": 2}\n'),  # killed before the end of the line
        (b'{"a', b""),
        (b"[1]", b""),
    ],
)
@pytest.mark.parametrize("block", [1 << 16, 3])
def test_a_torn_last_row_is_mended_before_a_row_is_added(
    tmp_path, monkeypatch, before, after, block
):
    monkeypatch.setattr(lines, "BLOCK_BYTES", block)
    path = tmp_path / "rows"
    path.write_bytes(before)
    with appending_rows(path) as write:
        assert path.read_bytes() == after
        write({"text": "ü\u2028"})
        write({"half": "\ud83d"})
    assert path.read_bytes().startswith(after)
    assert read_rows(path)[-2:] == [{"text": "ü\u2028"}, {"half": "\ud83d"}]
    assert "ü" in path.read_text(encoding="utf-8")


def test_what_is_not_a_whole_object_is_left_out(tmp_path):
    path = tmp_path / "rows"
    path.write_bytes(b'{"a": 1}\n5\n\xff\n{"b": 2}\n{"c"')
    assert read_rows(path) == [{"a": 1}, {"b": 2}]
    assert read_rows(tmp_path / "none") == []


@pytest.mark.parametrize("line", ["[" * 100_000, '{"a":' * 100_000, json.dumps([1]), "{"])
def test_bad_objects_are_value_errors(line):
    with pytest.raises(ValueError, match=r"it is (nested too deeply|not)"):
        parse_object(line)
