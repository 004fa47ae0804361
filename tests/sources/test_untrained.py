"""The untrained model: the same everywhere, of no size of Bark's, and good for a whole run."""

import multiprocessing
from pathlib import Path

import jax
import numpy as np
import pytest

from bark_jax.checkpoint import load_config, load_source, load_stage
from bark_jax.config import STAGES, BarkConfig, TokenLayout, to_dict
from bark_jax.models.binding import abstract_params
from bark_jax.models.encodec import EnCodec
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.models.gpt import GPT
from bark_jax.params import flatten
from bark_jax.pipeline import Bark
from bark_jax.runtime.execution import Execution
from bark_jax.runtime.paths import build_once, cache_path
from bark_jax.sources.untrained import ensure_untrained, vocabulary, write_untrained
from bark_jax.text import Tokenizer, encode_text


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("untrained") / "model"
    write_untrained(folder)
    return folder


def test_made_once_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = ensure_untrained()
    assert tmp_path in folder.parents and folder.name.startswith("untrained-")
    stamp = folder.stat().st_mtime_ns
    assert ensure_untrained() == folder and folder.stat().st_mtime_ns == stamp
    assert load_source(folder) == {"untrained": True}


def test_parameters_fit_the_models(model):
    config = load_config(model)
    makers = ((GPT, config.semantic), (GPT, config.coarse), (FineGPT, config.fine))
    wanted = [abstract_params(make, cfg, Execution.on("cpu")) for make, cfg in makers]
    wanted.append(abstract_params(EnCodec, config.codec))
    for stage, shapes in zip(STAGES, wanted, strict=True):
        stored = flatten(load_stage(model, stage))
        expected = flatten(shapes)
        assert {k: (v.shape, v.dtype) for k, v in stored.items()} == {
            k: (v.shape, v.dtype) for k, v in expected.items()
        }


def test_same_model_every_time(model, tmp_path):
    write_untrained(tmp_path / "again")
    for stage in STAGES:
        jax.tree.map(
            np.testing.assert_array_equal,
            load_stage(model, stage),
            load_stage(tmp_path / "again", stage),
        )


def test_no_token_number_is_barks(model):
    bark, tokens = to_dict(TokenLayout()), to_dict(load_config(model).tokens)
    assert {name for name in bark if bark[name] == tokens[name]} == {"n_coarse_codebooks"}


def test_vocabulary_spells_latin_text(model):
    pieces = vocabulary()
    assert len(pieces) == len(set(pieces))
    config: BarkConfig = load_config(model)
    tokenizer = Tokenizer.from_directory(model / "tokenizer")
    ids = tokenizer.encode("Grüße, naïve Łódź… “42”!")
    assert pieces.index("[UNK]") not in ids
    ids_T = encode_text(tokenizer, "Hello", config.tokens)
    spelled = [pieces[i - config.tokens.text_encoding_offset] for i in ids_T[:5]]
    assert spelled == ["H", "##e", "##l", "##l", "##o"]


def test_text_to_audio_and_on_with_its_voice(model):
    bark = Bark.from_pretrained(model, dtype="float32")
    first = bark.generate("Hello there.", seed=3)
    assert not isinstance(first, list)
    assert first.audio.dtype == np.float32 and len(first.audio) == 480 * first.fine.shape[1]
    assert first.fine.shape == (4, 2 * len(first.semantic)) and np.abs(first.audio).max() > 0.01
    second = bark.generate("Once more.", seed=4, voice=first)
    assert not isinstance(second, list) and np.isfinite(second.audio).all()


def test_cache_path_is_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_path("a", "b") == tmp_path / "bark_jax" / "a" / "b"


def test_a_cache_that_takes_no_files_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"cannot make .*: .*file takes no files .*; set XDG_CACHE"):
        ensure_untrained()


def test_failed_build_leaves_nothing(tmp_path):
    def fail(path: Path) -> None:
        path.mkdir()
        (path / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        build_once(tmp_path / "sub" / "thing", fail)
    assert [path.name for path in (tmp_path / "sub").iterdir() if path.is_dir()] == []


def test_killed_build_is_cleared_away(tmp_path):
    (tmp_path / "thing.partial" / "old").mkdir(parents=True)
    build_once(tmp_path / "thing", lambda path: path.mkdir())
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["thing"]


def _build_and_log(folder: Path, log: Path) -> None:
    def build(path: Path) -> None:
        with log.open("a") as file:
            file.write("built\n")
        path.mkdir()

    build_once(folder, build)


def test_two_processes_build_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    arguments = (tmp_path / "thing", tmp_path / "log")
    processes = [context.Process(target=_build_and_log, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / "log").read_text() == "built\n"
