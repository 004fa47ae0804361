"""What lies in place of weights where a download went wrong."""

import zipfile

import pytest

from bark_jax.conversion.checkpoint_files import check_is_no_stand_in, safetensors_names

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4213\n"
PAGE = b"\n<!DOCTYPE html>\n<html><body>Not found</body></html>"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LFS, "is a git-lfs pointer, not the file: run `git lfs pull`"),
        (PAGE, "is a web page, not a checkpoint: download the file again"),
        (b"", "is empty: download the file again"),
    ],
)
@pytest.mark.parametrize("name", ["text.pt", "model.safetensors", "encodec.th"])
def test_stand_ins_are_told_for_what_they_are(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} {message}"):
        check_is_no_stand_in(path)


def test_every_reader_looks_first(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(LFS)
    with pytest.raises(ValueError, match="git-lfs"):
        safetensors_names(path)
    torch = pytest.importorskip("torch")
    from bark_jax.conversion.checkpoint_files import load_pickled

    with pytest.raises(ValueError, match="git-lfs"):
        load_pickled(path.rename(tmp_path / "text.pt"))
    torch.save({"a": torch.ones(1)}, tmp_path / "good.pt")
    assert load_pickled(tmp_path / "good.pt").keys() == {"a"}


def test_what_unfolds_to_more_than_it_is_is_refused(tmp_path):
    """A compressed archive, and a tensor that repeats few numbers without end."""
    torch = pytest.importorskip("torch")
    from bark_jax.conversion.checkpoint_files import arrays, load_pickled

    torch.save({"a": torch.zeros(10**6)}, tmp_path / "stored.pt")
    with (
        zipfile.ZipFile(tmp_path / "stored.pt") as stored,
        zipfile.ZipFile(tmp_path / "small.pt", "w", zipfile.ZIP_DEFLATED) as small,
    ):
        for name in stored.namelist():
            small.writestr(name, stored.read(name))
    assert (tmp_path / "small.pt").stat().st_size < 10**5
    with pytest.raises(
        ValueError, match=r"small\.pt is damaged or no checkpoint: .* is compressed"
    ):
        load_pickled(tmp_path / "small.pt")
    torch.save({"a": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "wide.pt")
    match = r"wide, a has shape \(1000000, 1000000\), but less data"
    with pytest.raises(ValueError, match=match):
        arrays(load_pickled(tmp_path / "wide.pt"), "wide")
