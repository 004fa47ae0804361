"""A model's own speech as training records."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("grain", reason="needs the extra train")

from bark_jax.data.records import open_source
from bark_jax.generation import Generation
from bark_jax.preparation import distill as distill_module
from bark_jax.preparation.distill import DistillSettings, distill
from bark_jax.preparation.models import ModelSource, codec_sha256, model_sha256
from tests import tiny

ROOT = Path(__file__).parents[2]
TEXTS = ["hello", "be", "short", "endless", "gone", "", "7", "word " * 5, "over and out"]
REASONS = {
    "000001": "its speech lasts 0.04 s",
    "000003": "its speech did not end by itself (max_tokens)",
    "000004": "its speech lasts 0.00 s",
    "000006": "its text has words outside the model's vocabulary: ['7']",
    "000007": "its text has 20 tokens, the model reads 12",
}


def speak(line, n_frames):
    """What a model might have made of a line."""
    ends = "max_tokens" if line.text == "endless" else "eos"
    codes = np.arange(5 * n_frames, dtype=np.int32).reshape(5, n_frames) % 20
    audio = np.linspace(-0.9, 0.9, 8 * n_frames, dtype=np.float32)
    semantic = np.full(len(line.text), line.seed, np.int32)
    return Generation(
        audio, 200, semantic, codes[:3], codes, line.text, line.seed, ends, {}, {}
    )  # fmt: skip


@pytest.fixture(scope="module")
def bark():
    return tiny.make_bark()


@pytest.fixture
def spoken(bark, monkeypatch):
    """A model that needs no time; the lines that it was given, call by call."""
    calls = []

    def stream(bark, lines, batch_rows):
        calls.append([line.text for line in lines])
        n_frames = {"be": 1, "gone": 0}
        for i in reversed(range(len(lines))):  # in any order
            yield i, speak(lines[i], n_frames.get(lines[i].text, 20))

    monkeypatch.setattr(distill_module.Bark, "from_pretrained", lambda source: bark)
    monkeypatch.setattr(distill_module, "stream_lines", stream)
    return calls


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS))
    return DistillSettings(
        texts=str(path), out=str(tmp_path / "data"), model=ModelSource(source="tiny"),
        eval_share=0.0, chunk_rows=3, seed=10,
    )  # fmt: skip


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.is_file()}


def test_generations_become_records_and_the_rest_is_listed(settings, spoken, bark):
    manifest = distill(settings)
    source = open_source(settings.out, "train", with_audio=True)
    assert [record.text for record in source] == ["hello", "short", "over and out"]
    first = source[0]
    assert (first.id, first.speaker) == ("000000", "")
    assert list(first.text_ids) == bark.runner.tokenizer.encode("hello")
    np.testing.assert_array_equal(first.semantic, [10] * 5)  # the seed, plus line 0
    np.testing.assert_array_equal(first.codes.reshape(-1), np.arange(100) % 20)
    assert np.abs(first.audio - np.linspace(-0.9, 0.9, 160)).max() <= 2**-16  # of 16 bit
    skipped = (Path(settings.out) / "skipped.jsonl").read_text().splitlines()
    assert {row["id"]: row["reason"] for row in map(json.loads, skipped)} == REASONS
    assert manifest.n_skipped == len(REASONS)


def test_a_run_that_is_cut_off_goes_on_to_the_same_files(settings, spoken, tmp_path, monkeypatch):
    distill(settings)
    cut = dataclasses.replace(settings, out=str(tmp_path / "cut"))
    real = distill_module.ShardBuilder.finish

    def finish(builder, chunk, results):
        if chunk.index == 1:
            raise KeyboardInterrupt
        real(builder, chunk, results)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(distill_module.ShardBuilder, "finish", finish)
        distill(cut)
    spoken.clear()
    distill(cut)
    assert "hello" not in [text for call in spoken for text in call]  # of the first chunk
    assert contents(cut.out) == contents(settings.out)
    spoken.clear()
    distill(cut)
    assert spoken == []  # it is complete


def test_every_end_is_taken_where_asked(settings, spoken):
    manifest = distill(dataclasses.replace(settings, require_eos=False, keep_audio=False))
    assert manifest.n_records("train") == 4
    assert not manifest.has_audio


def test_other_texts_seeds_or_models_want_another_folder(settings, spoken, bark, monkeypatch):
    distill(settings)
    with pytest.raises(ValueError, match="texts_sha256 was"):
        distill(dataclasses.replace(settings, seed=11))
    with pytest.raises(ValueError, match="temperature"):
        distill(dataclasses.replace(settings, sampling={"semantic": {"temperature": -1}}))
    monkeypatch.setattr(distill_module, "model_sha256", lambda bark: "another")
    with pytest.raises(ValueError, match=r"model_sha256 was '.*', is 'another'"):
        distill(settings)


def test_a_missing_list_is_said(settings, spoken):
    with pytest.raises(FileNotFoundError, match=r"texts='none.txt' is not a file"):
        distill(dataclasses.replace(settings, texts="none.txt"))


def test_hashes_see_every_stage_and_what_encodes(bark, monkeypatch):
    before = model_sha256(bark), codec_sha256(bark)
    codec = bark.runner.params["codec"]
    moved = {**codec.load(), "decoder": tiny.random_params(_decoder, seed=9)}
    monkeypatch.setitem(bark.runner.params, "codec", dataclasses.replace(codec, _kept=moved))
    assert model_sha256(bark) != before[0]
    assert codec_sha256(bark) == before[1]  # codes do not depend on the decoder


def _decoder(*, rngs):
    from bark_jax.models.seanet import Decoder

    return Decoder(tiny.CONFIG.codec, rngs=rngs)


def test_settings_compose(settings):
    hydra = pytest.importorskip("hydra", reason="needs the extra train")
    from bark_jax.preparation.train_tokenizer import TokenizerSettings
    from bark_jax.programs.compose import from_hydra

    with hydra.initialize_config_dir(str(ROOT / "configs" / "data"), version_base="1.3"):
        asked = ["texts=t", "out=o", "model.source=m", "+sampling.semantic.temperature=0.5"]
        assert from_hydra(DistillSettings, hydra.compose("distill_data", asked)) == (
            DistillSettings(
                texts="t", out="o", model=ModelSource(source="m"),
                sampling={"semantic": {"temperature": 0.5}},
            )
        )  # fmt: skip
        composed = hydra.compose("train_semantic_tokenizer", ["manifest=m", "out=o"])
        assert from_hydra(TokenizerSettings, composed) == TokenizerSettings(manifest="m", out="o")


@pytest.mark.thorough
def test_a_real_model_speaks_the_records(settings, bark, monkeypatch):
    monkeypatch.setattr(distill_module.Bark, "from_pretrained", lambda source: bark)
    manifest = distill(dataclasses.replace(settings, require_eos=False, batch_rows=2))
    source = open_source(settings.out, "train", with_audio=True)
    assert len(source) == manifest.n_records("train") > 0
    for record in source:
        seed = 10 + int(record.id)
        alone = bark.generate(record.text, seed=seed)
        np.testing.assert_array_equal(record.semantic, alone.semantic)
        np.testing.assert_array_equal(record.codes, alone.fine)
        assert np.abs(record.audio - alone.audio.clip(-1, 1)).max() < 1e-4  # 16 bit, and rounding
