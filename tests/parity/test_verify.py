"""The comparison passes for what was converted, and finds what was changed afterwards."""

import importlib.util
import shutil

import pytest

if importlib.util.find_spec("bark") is None:
    pytest.skip("needs the extra parity", allow_module_level=True)

import tests.parity.reference  # noqa: F401  (prepares the oracles' imports)
from bark_jax import checkpoint
from bark_jax.cli.command import main as bark_jax_command
from bark_jax.conversion.verify import STAGES, table, verify
from bark_jax.params import flatten, unflatten


def changed(model, out, stage, name, change):
    """`model` once more, with one parameter changed."""
    shutil.copytree(model, out, ignore=shutil.ignore_patterns(stage))
    flat = flatten(checkpoint.load_stage(model, stage))
    flat[name] = change(flat[name])
    checkpoint.save_stage(out, stage, unflatten(flat))
    return out


def test_converted_models_are_equal(hf_folder, hf_model):
    rows = verify(hf_folder, hf_model)
    assert [row.stage for row in rows] == list(STAGES)
    for row in rows:
        assert row.is_equal, table(rows)
        assert row.forced == 1
        assert row.error < row.tolerance / 5
    assert [row.greedy for row in rows] == [(16, 16), (16, 16), (448, 448), None]


CHANGES = [
    ("coarse", "h.1.ln_2.weight", lambda w: w.at[3].mul(1.001)),
    ("fine", "wtes.7.weight", lambda w: w.at[:, 0].add(1e-3)),
    ("codec", "decoder.layers.15.conv.bias", lambda b: b + 1e-4),
]


def test_changed_models_differ(hf_folder, hf_model, tmp_path, capsys):
    model = hf_model
    for i, change in enumerate(CHANGES):
        model = changed(model, tmp_path / str(i), *change)
    arguments = ["verify", "--source", str(hf_folder), "--model", str(model)]
    assert bark_jax_command(arguments) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == "stage max error tolerance tokens equal greedy run".split()
    differing = [line.split()[0] for line in lines[1:] if line.endswith("DIFFERS")]
    assert differing == [stage for stage, *_ in CHANGES]


def test_model_of_another_source(suno_folder, hf_model):
    with pytest.raises(ValueError, match=r"was not converted from .* sizes differ"):
        verify(suno_folder, hf_model)
