"""README.md of a model directory: what it is, where it comes from, how to use it, in its own words.

Hubs show it as the model's page. Its facts are those of `config.json`; a model card that somebody
has written by hand is kept.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bark_jax.checkpoint import load_sampling
from bark_jax.config import TRANSFORMERS, BarkConfig, GPTConfig
from bark_jax.runtime.files import replacing
from bark_jax.sampling_config import SamplingConfig

CARD_FILE = "README.md"
MARK = "<!-- written by bark_jax; remove this line to keep your own text -->"
TEMPLATE = """\
---
library_name: bark_jax
pipeline_tag: text-to-speech
tags: [text-to-speech, bark, jax]
---
{mark}
# {title}

A text-to-audio model of [Bark]'s kind: text, semantic tokens, coarse codes, fine codes, sound.
{state}{sampling}

```bash
bark-jax "Hello, this is a test." --model DIRECTORY{voice} -o hello.wav
```

| stage | size |
|---|---|
| semantic | {semantic} |
| coarse | {coarse} |
| fine | {fine} |
| codec | {codec} |

Speech has at most {longest_s:.0f} s in one piece, and a text at most {text_length} pieces.
{voices}
## Origin

{origin}

## Use

Say that the speech is synthetic where people could take it for somebody's own. A voice may not
be used to deceive, or to speak for a person who has not agreed to it. The licences of the training
data and of the weights that a training began with go on to what was made of them.

[Bark]: https://github.com/suno-ai/bark
"""


def write_card(directory: Path, config: BarkConfig, source: Mapping[str, Any]) -> None:
    """Writes README.md of a model; one that is not ours stays as it is.

    Args:
      source: what `config.json` says of the parameters' origin.
    """
    path = directory / CARD_FILE
    if path.is_file() and MARK not in path.read_text(encoding="utf-8"):
        return
    text = card(config, source, _voices(directory), load_sampling(directory))
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def card(
    config: BarkConfig, source: Mapping[str, Any], voices: list[str], own: SamplingConfig
) -> str:
    """The text of a model card; `own` are the model's own sampling values."""
    tokens, codec = config.tokens, config.codec
    sizes = {stage: size_of(getattr(config, stage)) for stage in TRANSFORMERS}
    untrained = source.get("untrained_stages", ())
    return TEMPLATE.format(
        mark=MARK,
        title=source.get("name") or "A Bark model",
        state=(
            f"**Not trained yet: {', '.join(untrained)}.**"
            if untrained
            else f"It speaks at {codec.sample_rate / 1000:g} kHz."
        ),
        sampling=_drawn_with(own),
        voice=f" --voice {voices[0]}" if voices else "",
        **sizes,
        codec=(
            f"{codec.kind.replace('_', '-')}, {codec.n_codebooks} codebooks of "
            f"{codec.codebook_size} codes, {float(codec.frame_rate_hz):g} frames a second"
        ),
        longest_s=tokens.max_semantic_tokens / float(tokens.semantic_rate_hz),
        text_length=tokens.text_length,
        voices=f"Voices: {', '.join(voices)}.\n" if voices else "It has no voices of its own.\n",
        origin="\n".join(_origin(source)) or "Not known.",
    )


def size_of(gpt: GPTConfig) -> str:
    """A transformer's size in words."""
    return f"{gpt.n_layer} layers of width {gpt.n_embd}, {gpt.n_head} heads"


def _drawn_with(own: SamplingConfig) -> str:
    """The sampling values of the model, if it has some."""
    values = [f"{s} {name} {_said(v)}" for s, of in own.plain().items() for name, v in of.items()]
    return f"\nUnless told otherwise, it draws with {', '.join(values)}." if values else ""


def _origin(source: Mapping[str, Any]) -> list[str]:
    """The facts that a model's source has, a line each."""
    skipped = {"untrained", "untrained_stages", "trained", "phones", "stages", "name"}
    lines = [
        f"- {name.replace('_', ' ')}: {_said(value)}"
        for name, value in source.items()
        if name not in skipped and value
    ]
    for run in source.get("trained", ()):
        facts = ", ".join(f"{name} {_said(value)}" for name, value in run.items() if value)
        lines.append(f"- trained: {facts}")
    return lines


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _voices(directory: Path) -> list[str]:
    folder = directory / "voices"
    found = (path.relative_to(folder).with_suffix("") for path in folder.rglob("*.npz"))
    return sorted(path.as_posix() for path in found)
