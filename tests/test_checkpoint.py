"""Damage to a model on disk is seen, and named in one line."""

import contextlib
import functools
import io
import json
import shutil
import subprocess
import weakref

import numpy as np
import pytest

from bark_jax import Bark, checkpoint
from bark_jax.cli import doctor
from bark_jax.config import STAGES
from bark_jax.params import flatten
from bark_jax.runtime import stored_arrays
from bark_jax.runtime.hashes import HASHES_FILE, find_damage, has_hashes
from bark_jax.runtime.paths import NANO
from tests import tiny


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A model of one stage."""
    directory = tmp_path_factory.mktemp("written")
    checkpoint.save_stage(directory, "coarse", tiny.stage_params("coarse"))
    checkpoint.save_config(directory, tiny.CONFIG)
    return directory


@pytest.fixture
def model(written, tmp_path):
    return shutil.copytree(written, tmp_path / "model")


def largest(directory):
    return max((p for p in directory.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def flip_a_bit(path):
    content = bytearray(path.read_bytes()) or bytearray(1)
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_bit_that_flips_in_any_file_is_seen(model):
    stage = model / "coarse"
    files = [path for path in stage.rglob("*") if path.is_file() and path.name != HASHES_FILE]
    assert len(files) > 5
    for path in files:
        before = path.read_bytes()
        flip_a_bit(path)
        name = path.relative_to(stage).as_posix()
        assert find_damage(stage) == [name]
        path.write_bytes(before)
    flip_a_bit(path := largest(stage))
    name = path.relative_to(stage).as_posix()
    match = rf"the 'coarse' stage of .*/model is damaged: {name} is not as written\. Copy"
    with pytest.raises(ValueError, match=match):
        checkpoint.load_stage(model, "coarse")


def test_the_impatient_get_what_is_there(model):
    flip_a_bit(largest(model))
    got = flatten(checkpoint.load_stage(model, "coarse", check_hashes=False))
    want = flatten(tiny.stage_params("coarse"))
    assert sum((np.asarray(got[name]) != np.asarray(want[name])).sum() for name in want) == 1


@pytest.mark.parametrize("is_hashed", [True, False])
@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_file_that_is_cut_off_gives_one_line(model, capfd, is_hashed, share):
    path = largest(model)
    if not is_hashed:
        (model / "coarse" / HASHES_FILE).unlink()
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ValueError, match="coarse") as raised:
        checkpoint.load_stage(model, "coarse")
    assert len(str(raised.value)) < 500 and "\n" not in str(raised.value)
    assert capfd.readouterr().err == ""


def test_a_parameter_is_let_go_of_before_the_next_is_read(model, monkeypatch):
    """Where they are large."""
    monkeypatch.setattr(stored_arrays, "LARGE", 0)
    read: list[weakref.ref] = []

    def to_half(name, array):
        assert not any(earlier() is not None for earlier in read)
        read.append(weakref.ref(array))
        return {name: array.astype(np.float16)}

    arrays = stored_arrays.open_arrays(model / "coarse")
    halves = stored_arrays.read_arrays(arrays, lambda name, stored: stored, change=to_half)
    whole = flatten(checkpoint.load_stage(model, "coarse"))
    assert halves.keys() == whole.keys() and len(read) == len(whole)
    assert all(halves[name].nbytes == leaf.nbytes // 2 for name, leaf in whole.items())


def test_the_hashes_are_those_of_sha256sum(model):
    command = ["sha256sum", "--check", "--strict", "--quiet", HASHES_FILE]
    subprocess.run(command, cwd=model / "coarse", check=True)


def test_hashes_lead_nowhere_else(model):
    for line in (f"{'0' * 64}  ../config.json", f"{'0' * 64}  /etc/passwd", "no hash"):
        (model / "coarse" / HASHES_FILE).write_text(line + "\n")
        with pytest.raises(ValueError, match=f"{HASHES_FILE} is damaged"):
            checkpoint.load_stage(model, "coarse")


def run_doctor(*argv):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        code = doctor.main([str(each) for each in argv])
    return code, out.getvalue()


def test_a_model_without_hashes_loads_and_can_be_given_some(model):
    (model / "coarse" / HASHES_FILE).unlink()
    checkpoint.load_stage(model, "coarse")
    code, out = run_doctor(model)
    assert code == 0 and "coarse: cannot be checked: it has no hashes" in out
    code, out = run_doctor(model, "--add-hashes")
    assert code == 0 and out == f"{model}, coarse: as written\n"
    flip_a_bit(path := largest(model))
    name = path.relative_to(model / "coarse").as_posix()
    # adding hashes never approves of damage
    assert run_doctor(model, "--add-hashes") == (1, f"{model}, coarse: damaged: {name}\n")


def test_a_model_tells_no_path_of_the_machine_that_made_it(written):
    parts = [path.read_bytes() for path in (written / "coarse").rglob("*") if path.is_file()]
    assert len(parts) > 5 and not any(str(written).encode() in part for part in parts)


def test_the_packaged_model_is_as_written():
    assert all(has_hashes(NANO / stage) for stage in STAGES)
    assert not [name for stage in STAGES for name in find_damage(NANO / stage)]


def test_a_loaded_model_is_checked_unless_told_otherwise(tmp_path):
    model = shutil.copytree(NANO, tmp_path / "nano")
    (model / "fine" / HASHES_FILE).write_text(f"{'0' * 64}  state/_METADATA\n")
    with pytest.raises(ValueError, match=r"'fine' stage of .* is damaged: state/_METADATA"):
        Bark.from_pretrained(model).runner.params["fine"].load()
    Bark.from_pretrained(model, check_hashes=False).runner.params["fine"].load()


BAD = (0, -1, "1/0", "x", "1e999999999", None, float("nan"), float("inf"), {"a": 1}, [], True,
       10**400, 1.5)  # fmt: skip


LATER = ("kind", "width", "n_blocks")  # configs of older models lack them


def fields_of(content, at=()):
    """The place of every value of a config, and of every table."""
    for name, value in content.items():
        yield (*at, name)
        if isinstance(value, dict):
            yield from fields_of(value, (*at, name))


def test_every_bad_value_of_a_config_is_named_with_its_field(tmp_path):
    content = json.loads((NANO / checkpoint.CONFIG_FILE).read_text())
    fields = [place for place in fields_of(content) if place[0] not in ("format", "source")]
    assert len(fields) > 50
    for *tables, name in fields:
        good = functools.reduce(lambda table, key: table[key], tables, content)
        before = good[name]
        for bad in BAD:
            good[name] = bad
            (tmp_path / checkpoint.CONFIG_FILE).write_text(json.dumps(content))
            try:
                checkpoint.load_config(tmp_path)
            except ValueError as error:
                assert name in str(error) and len(str(error)) < 600, (name, bad, str(error))
            else:  # what may be 0, 1 or a fraction
                assert bad in (0, 1, 1.5), (name, bad)
        del good[name]
        (tmp_path / checkpoint.CONFIG_FILE).write_text(json.dumps(content))
        if name in LATER:
            checkpoint.load_config(tmp_path)
        else:
            with pytest.raises(ValueError, match=rf"config\.json: .*lacks {name}"):
                checkpoint.load_config(tmp_path)
        good[name] = before


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"semantic": {"temperature": 0.5}', "sampling.json"),
        ('{"semantic": {"temperature": -1}}', r"sampling\.semantic\.temperature=-1 is not allowed"),
        ('{"semantic": {"temprature": 1}}', r"SemanticSampling has no field \['temprature'\]"),
        ('{"codec": {}}', r"no field \['codec'\]; it has \['coarse', 'fine', 'semantic'\]"),
        ('{"semantic": {"temperature": [0.5]}}', r"temperature=\[0\.5\], want one value"),
        ('{"fine": 3}', "fine wants a dict of values, got 3"),
        ('{"coarse": {"processors": ["os:system"]}}', r"coarse\.processors: a model has none of"),
    ],
)
def test_sampling_values_of_a_model_are_checked(tmp_path, content, message):
    (tmp_path / "sampling.json").write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        checkpoint.load_sampling(tmp_path)
    assert str(error.value).startswith(str(tmp_path / "sampling.json"))


def test_values_that_are_not_allowed_are_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"top_p=2 is not allowed"):
        checkpoint.save_sampling(tmp_path, {"semantic": {"top_p": 2}})
    assert not list(tmp_path.iterdir())
