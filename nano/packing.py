"""From the runs of the four stages to one model directory, small enough for the package."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.checkpoint import (
    load_config,
    load_source,
    load_stage,
    save_config,
    save_sampling,
    save_stage,
)
from bark_jax.config import STAGES, TokenLayout
from bark_jax.data.records import Record, open_source
from bark_jax.letters import LetterSounds
from bark_jax.lexicon import Lexicon
from bark_jax.model_card import write_card
from bark_jax.params import Params
from bark_jax.runtime.directories import replacing_directory
from bark_jax.runtime.paths import build_once
from bark_jax.voices import Voice
from nano.model import SAMPLING, make_tokenizer, phones_of

VOICE_TOKENS = 16  # of a voice: what the coarse stage remembers, 0.64 s
LICENSES = Path(__file__).with_name("LICENSES.txt")  # of what the model is made of
MOST_BYTES = 16 * 2**20  # of the packed model
# In float32 it would not fit. The codebooks stay as they are: data name their codec by them.
PACKED_DTYPE, KEPT = "bfloat16", "quantizer"


def assemble(
    directory: Path,
    exports: dict[str, Path],
    source: dict[str, Any],
    lexicon: Lexicon,
    letters: LetterSounds | None = None,
) -> Path:
    """Joins the stages in several directories into one model; voices come later. Made once.

    Args:
      exports: stage -> model directory that has the trained stage; all of one layout.
      source: what `config.json` is to say about the model's origin.
      lexicon: words that the model is to read as phones.
      letters: how all other words are pronounced.
    Raises:
      ValueError: the directories' token layouts differ.
    """
    configs = {stage: load_config(exports[stage]) for stage in STAGES}
    if any(config != configs["semantic"] for config in configs.values()):
        raise ValueError("the stages were trained with different model sizes")

    def write(directory: Path) -> None:
        directory.mkdir()
        make_tokenizer(lexicon, letters).save(directory / "tokenizer")
        shutil.copy(LICENSES, directory / LICENSES.name)
        for stage in STAGES:
            params = load_stage(exports[stage], stage)
            if stage == "codec":
                params = _without_residuals(params, configs[stage].tokens)
            save_stage(directory, stage, _rounded(params))
        save_sampling(directory, SAMPLING)
        save_config(directory, configs["semantic"], source)

    return build_once(directory, write)


def add_voices(directory: Path, data: Path, chosen: Mapping[str, str]) -> list[Path]:
    """Writes a voice for each chosen recording.

    Args:
      data: training data made with the model's codec.
      chosen: name of the voice -> id of a record that speaks in it.
    Raises:
      ValueError: the data have no such record.
    """
    layout = load_config(directory).tokens
    found = {r.id: r for r in open_source(data, "train") if r.id in set(chosen.values())}
    if missing := sorted(set(chosen.values()) - set(found)):
        raise ValueError(f"voices: {data} has no training record {missing}")
    (directory / "voices").mkdir(exist_ok=True)
    paths = []
    for name, record_id in sorted(chosen.items()):
        paths.append(directory / "voices" / f"{name}.npz")
        _voice(found[record_id], layout).save(paths[-1])
    return paths


def install(directory: Path, package: Path) -> int:
    """Copies the model in place of the packaged one; returns its bytes.

    Raises:
      ValueError: it is larger than the package may be.
    """
    write_card(directory, load_config(directory), load_source(directory))
    n_bytes = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    if n_bytes > MOST_BYTES:
        raise ValueError(f"{directory} has {n_bytes} bytes, the package takes {MOST_BYTES}")
    with replacing_directory(package) as made:
        shutil.copytree(directory, made, dirs_exist_ok=True)
    return n_bytes


def origin(corpus: Path, minutes: dict[str, float]) -> dict[str, Any]:
    """What `config.json` should say about the model's origin."""
    settings = json.loads((corpus / "settings.json").read_text(encoding="utf-8"))["settings"]
    return {
        "recipe": "scripts/train_nano.py",
        "corpus": "synthetic, spoken by flite",
        "speakers": list(settings["voices"]),
        "n_sentences": settings["n_sentences"],
        "minutes": minutes,
        "phones": phones_of(settings["voices"]),  # what its semantic tokens are thirds of
    }


def _without_residuals(codec: Params, layout: TokenLayout) -> Params:
    """The codec with codebooks beyond the coarse model's that say nothing.

    What two codebooks leave of this codec's latents is noise to the fine stage: it gets 4 % of the
    codes right, and with them the spectral distance is 0.217, without them 0.197.
    """
    quantizer = codec["quantizer"]
    silent_QVL = quantizer["embed"].at[layout.n_coarse_codebooks :].set(0)
    return {**codec, "quantizer": {**quantizer, "embed": silent_QVL}}


def _rounded(params: Params) -> Params:
    return {
        name: part
        if name == KEPT
        else jax.tree.map(lambda leaf: jnp.asarray(leaf, PACKED_DTYPE), part)
        for name, part in params.items()
    }


def _voice(record: Record, layout: TokenLayout) -> Voice:
    """The end of a recording, as long as the semantic stage's training had it."""
    frames_per_token = layout.coarse_per_semantic / layout.n_coarse_codebooks
    whole = int(min(len(record.semantic), record.codes.shape[1] / frames_per_token))
    first = max(0, whole - VOICE_TOKENS)
    codes_QT = record.codes[:, round(first * frames_per_token) : round(whole * frames_per_token)]
    arrays = {
        "semantic_prompt": record.semantic[first:whole],
        "coarse_prompt": codes_QT[: layout.n_coarse_codebooks],
        "fine_prompt": np.ascontiguousarray(codes_QT),
    }
    return Voice.from_arrays(arrays, layout, name=record.speaker)
