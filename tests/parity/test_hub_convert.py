"""Repositories and folders in foreign formats: downloaded sparingly, converted once."""

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

if importlib.util.find_spec("transformers") is None or importlib.util.find_spec("torch") is None:
    pytest.skip("needs the extra parity", allow_module_level=True)

import jax
import torch
import transformers

from bark_jax.checkpoint import load_config, load_source, load_stage
from bark_jax.config import STAGES
from bark_jax.sources.hub import ModelNotFoundError
from bark_jax.sources.resolve import resolve_model
from bark_jax.text import Tokenizer
from tests.fake_hub import FakeHub, finish, read_files
from tests.parity.reference import write_vocab

PRESET = "v2/tiny_speaker_0"


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory):
    """A tiny random BarkModel as transformers saves it, with tokenizer and one voice."""
    folder = tmp_path_factory.mktemp("hugging_face") / "bark-tiny"
    size = {"hidden_size": 16, "num_layers": 1, "num_heads": 2}
    gpt = {**size, "input_vocab_size": 12_096, "output_vocab_size": 12_096, "bias": False}
    config = transformers.BarkConfig(
        semantic_config={**gpt, "input_vocab_size": 129_600, "output_vocab_size": 10_048},
        coarse_acoustics_config=gpt,
        fine_acoustics_config={**gpt, "input_vocab_size": 1056, "output_vocab_size": 1056},
        codec_config={"num_filters": 2},
    )
    model = transformers.BarkModel(config)
    model.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    write_vocab(folder / "vocab.txt")
    rng = np.random.default_rng(0)
    voice = {"semantic": rng.integers(0, 10_000, 20)}
    voice |= {key: rng.integers(0, 1024, (q, 30)) for key, q in (("coarse", 2), ("fine", 8))}
    (folder / "speaker_embeddings" / "v2").mkdir(parents=True)
    paths = {f"{key}_prompt": f"speaker_embeddings/{PRESET}_{key}_prompt.npy" for key in voice}
    for key, array in voice.items():
        np.save(folder / paths[f"{key}_prompt"], array)
    index = {"repo_or_path": "suno/bark", PRESET: paths}
    (folder / "speaker_embeddings_path.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory, hugging_face):
    files = read_files(hugging_face)
    rest = {"text_2.pt": b"x", "README.md": b"x"}
    with FakeHub(tmp_path_factory.mktemp("home")) as server:
        server.push("suno/tiny", files | rest)
        server.push("suno/bin", {k: v for k, v in files.items() if "safetensors" not in k} | rest)
        yield server


@pytest.fixture(scope="module")
def converted(server):
    """What two processes that start at once get, and the files that both fetched."""
    server.requests.clear()
    processes = [server.start({"source": "suno/tiny"}) for _ in range(2)]
    (first,), (second,) = (finish(process) for process in processes)
    return Path(first), Path(second), server.downloads()


def test_two_processes_get_one_model(converted, server, hugging_face):
    first, second, fetched = converted
    assert first == second
    assert server.home / "cache" / "bark_jax" in first.parents
    assert first.name == server.branches["suno/tiny", "main"]
    wanted = ["config.json", "generation_config.json", "model.safetensors", "vocab.txt"]
    assert sorted(set(fetched)) == [w for w in wanted if (hugging_face / w).is_file()]
    assert fetched.count("model.safetensors") == 1
    for stage in STAGES:
        load_stage(first, stage)
    assert load_config(first).semantic.n_embd == 16
    Tokenizer.from_directory(first / "tokenizer")
    assert load_source(first)["voices_repo"] == "suno/tiny"
    assert load_source(first)["voices_revision"] == first.name


def test_converted_model_needs_neither_hub_nor_its_cache(converted, server):
    model, *_ = converted
    stamp = (model / "config.json").stat().st_mtime_ns
    downloads = server.home / "hf"
    server.requests.clear()
    downloads.rename(server.home / "away")
    try:
        assert server.ask({"source": "suno/tiny"}, HF_HUB_OFFLINE="1") == [str(model)]
    finally:
        shutil.rmtree(downloads, ignore_errors=True)
        (server.home / "away").rename(downloads)
    assert server.requests == []
    assert (model / "config.json").stat().st_mtime_ns == stamp


def test_using_a_converted_model_writes_nothing(converted, server):
    model, *_ = converted
    caches = server.home / "cache", server.home / "hf"

    def state():
        return [(p, p.stat().st_mtime_ns) for cache in caches for p in sorted(cache.rglob("*"))]

    before = state()
    steps = {"source": "suno/tiny"}, {"source": "suno/tiny", "local_files_only": True}
    assert server.ask(*steps) == [str(model)] * 2
    assert state() == before


def test_a_cache_that_cannot_be_written_serves_what_it_has(converted, server):
    model, *_ = converted
    server.branches["suno/tiny", "v1"] = server.branches["suno/tiny", "main"]
    (model.parent / "v1.ref").mkdir()  # whoever runs the test, no file can be written there
    assert server.ask({"source": "suno/tiny", "revision": "v1"}) == [str(model)]


def test_bin_is_converted_where_there_are_no_safetensors(converted, server):
    without = "import sys; sys.modules['torch'] = None\n"
    ((kind, message),) = server.ask({"source": "suno/bin"}, prelude=without)
    assert kind == "ModelNotFoundError"
    assert message.endswith('which needs torch: pip install "bark-jax[convert]"')
    assert "pytorch_model.bin" not in server.downloads()
    (model,) = server.ask({"source": "suno/bin"})
    for stage in STAGES:
        jax.tree.map(
            np.testing.assert_array_equal,
            load_stage(model, stage),
            load_stage(converted[0], stage),
        )


def test_voices_come_from_the_hub_one_by_one(converted, server, hugging_face):
    server.requests.clear()
    ((names, fine),) = server.ask(prelude=RESOLVE_VOICE.format(model=converted[0], name=PRESET))
    assert names == [PRESET]
    assert fine == np.load(hugging_face / f"speaker_embeddings/{PRESET}_fine_prompt.npy").tolist()
    paths = [
        f"speaker_embeddings/{PRESET}_{key}_prompt.npy" for key in ("semantic", "coarse", "fine")
    ]
    assert server.downloads() == ["speaker_embeddings_path.json", *paths]


RESOLVE_VOICE = """
import json
from bark_jax.checkpoint import load_config, load_source
from bark_jax.sources.voice_library import VoiceLibrary

source = load_source("{model}")
library = VoiceLibrary(
    [], load_config("{model}").tokens,
    hub_repo=source["voices_repo"], revision=source["voices_revision"],
)
names = [name for name in library.names() if "tiny" in name]
print(json.dumps([names, library.resolve("{name}").fine.tolist()]))
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_folder_is_converted_once_and_again_when_it_changes(cache, hugging_face, tmp_path):
    folder = Path(shutil.copytree(hugging_face, tmp_path / "mine"))
    model = resolve_model(folder, progress=False)
    assert resolve_model(str(folder), progress=False) == model
    assert (model / "voices" / f"{PRESET}.npz").is_file()
    os.utime(folder / "model.safetensors", (0, 0))
    assert resolve_model(folder, progress=False) != model


def test_failed_conversion_leaves_nothing(cache, hugging_face, tmp_path):
    folder = Path(shutil.copytree(hugging_face, tmp_path / "mine"))
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises((OSError, ValueError), match=r"model\.safetensors"):
        resolve_model(folder, progress=False)
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert [path.suffix for path in left] == [".lock"]


def test_missing_torch_is_named(cache, tmp_path, monkeypatch):
    for name in ("text.pt", "coarse.pt", "fine.pt", "encodec_24khz-d7cc33bc.th", "vocab.txt"):
        (tmp_path / name).write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModelNotFoundError, match=r'needs torch: pip install "bark-jax\[convert\]"'):
        resolve_model(tmp_path, progress=False)
