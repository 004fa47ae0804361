"""A fine-tuned model exports to Hugging Face's format and says there what it says here."""

import importlib.util

import jax.numpy as jnp
import numpy as np
import pytest

if importlib.util.find_spec("bark") is None:
    pytest.skip("needs the extra parity", allow_module_level=True)
pytest.importorskip("grain", reason="needs the extra train")

import torch
import transformers

from bark_jax import checkpoint
from bark_jax.conversion.export import export
from bark_jax.data.manifest import Manifest, TokenSpec, write_manifest
from bark_jax.data.records import Record, write_shards
from bark_jax.models.binding import bind
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.params import flatten
from bark_jax.pipeline import Bark
from bark_jax.runtime.execution import Execution
from bark_jax.text import Tokenizer
from bark_jax.training.run.finetune import finetune
from bark_jax.training.run.optimizer import OptimizerSettings
from bark_jax.training.run.settings import FinetuneSettings
from bark_jax.training.run.trainable import LoraSettings


def write_data(directory, model_folder):
    """Two records of random codes for the converted model."""
    directory.mkdir()
    rng = np.random.default_rng(0)
    ids = np.arange(3, dtype=np.int32)
    records = [
        Record(str(i), "", "", ids, ids, rng.integers(0, 1024, (8, 40)).astype(np.int32))
        for i in range(2)
    ]
    tokenizer = Tokenizer.from_directory(model_folder / "tokenizer")
    manifest = Manifest(
        spec=TokenSpec.of(checkpoint.load_config(model_folder), tokenizer),
        settings={},
        counts={},
        n_skipped=0,
        shards=write_shards(directory, "train", 0, records),
    )
    write_manifest(directory, manifest)
    return directory


@torch.no_grad()
@pytest.mark.thorough
def test_a_fine_tuned_model_scores_the_same_in_transformers(model_folder, tmp_path, capsys):
    outcome = finetune(
        FinetuneSettings(
            stage="fine",
            data=str(write_data(tmp_path / "data", model_folder)),
            model={"source": str(model_folder)},
            out=str(tmp_path / "run"),
            steps=2,
            batch_size=2,
            task={"window": 32},
            lora=LoraSettings(rank=2),
            optimizer=OptimizerSettings(learning_rate=0.1, warmup_steps=0),
        )
    )
    assert "no eval records" in capsys.readouterr().err
    export(outcome.export, tmp_path / "hf", format="hf", progress=False)
    theirs = transformers.BarkModel.from_pretrained(tmp_path / "hf").eval()

    bark = Bark.from_pretrained(outcome.export, dtype="float32")
    with bark.runner.params["fine"].on_device() as params:
        ours = bind(FineGPT, bark.config.fine, Execution.on("cpu"), params=params)
        codes_BTQ = np.random.default_rng(1).integers(0, 1025, (1, 40, 8))
        out_BTD, _ = ours(jnp.asarray(codes_BTQ), jnp.int32(4))
        got = ours.logits(out_BTD, jnp.int32(4), 1056)
        want = theirs.fine_acoustics(4, torch.from_numpy(codes_BTQ)).logits
        # float32 sums in another order, as in the comparison of untrained models
        np.testing.assert_allclose(got, want, atol=2e-5)
        before = flatten(checkpoint.load_stage(model_folder, "fine"))
        moved = [name for name, leaf in flatten(params).items() if (leaf != before[name]).any()]
    assert moved and all(".c_" in name for name in moved)  # low-rank products, added up
