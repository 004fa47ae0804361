"""transformers' BarkModel, stage by stage as its own `generate` runs them."""

import importlib.metadata
from typing import Any

import numpy as np
import torch
import transformers
from transformers.models.bark.generation_configuration_bark import (
    BarkCoarseGenerationConfig,
    BarkFineGenerationConfig,
    BarkSemanticGenerationConfig,
)

PACKAGES = ("transformers", "torch", "numpy")
TORCH_DTYPES = {None: None, "float32": torch.float32, "bfloat16": torch.bfloat16}


class HuggingFace:
    def __init__(self, folder: str, text: str, audio_s: float, n_semantic: int, dtype: str | None):
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.n_semantic = n_semantic
        half = torch.bfloat16 if self.device == "cuda" else torch.float32
        model: Any = transformers.BarkModel.from_pretrained(
            folder, dtype=TORCH_DTYPES[dtype] or half
        )
        self.model = model.eval().to(self.device)
        sections: Any = self.model.generation_config
        semantic = sections.semantic_config | {"min_eos_p": None}
        self.configs = {
            "semantic_generation_config": BarkSemanticGenerationConfig(**semantic),
            "coarse_generation_config": BarkCoarseGenerationConfig(
                **sections.coarse_acoustics_config
            ),
            "fine_generation_config": BarkFineGenerationConfig(**sections.fine_acoustics_config),
        }
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.inputs = tokenizer(
            [text], max_length=256, padding="max_length", truncation=True,
            add_special_tokens=False, return_tensors="pt", return_token_type_ids=False,
        ).to(self.device)  # fmt: skip

    def about(self) -> dict[str, Any]:
        is_cuda = self.device == "cuda"
        return {
            "device": torch.cuda.get_device_name() if is_cuda else "cpu",
            "platform": "gpu" if is_cuda else "cpu",
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "threads": torch.get_num_threads(),
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        }

    def device_bytes(self) -> int | None:
        return torch.cuda.max_memory_allocated() if self.device == "cuda" else None

    def semantic(self, rows: int, seed: int) -> np.ndarray:
        return self._semantic(rows, seed, self.n_semantic)

    def semantic_prefill(self, rows: int, seed: int) -> np.ndarray:
        return self._semantic(rows, seed, 1)

    @torch.no_grad()
    def coarse(self, semantic_BT: np.ndarray, seed: int) -> np.ndarray:
        torch.manual_seed(seed)
        given = torch.tensor(semantic_BT, device=self.device)
        flat_BT = self.model.coarse_acoustics.generate(
            given, codebook_size=1024, **self._configs("semantic", "coarse")
        )
        codes_BTQ = (flat_BT.cpu().numpy() - 10_000).reshape(len(given), -1, 2) % 1024
        return codes_BTQ.transpose(0, 2, 1)

    @torch.no_grad()
    def fine(self, coarse_BQT: np.ndarray, seed: int) -> np.ndarray:
        torch.manual_seed(seed)
        flat_BT = coarse_BQT.transpose(0, 2, 1).reshape(len(coarse_BQT), -1) + 10_000
        codes_BQT = self.model.fine_acoustics.generate(
            torch.tensor(flat_BT, device=self.device),
            codebook_size=1024,
            **self._configs("semantic", "coarse", "fine"),
        )
        return codes_BQT.cpu().numpy()

    @torch.no_grad()
    def codec(self, fine_BQT: np.ndarray) -> np.ndarray:
        audio_BS = self.model.codec_decode(torch.tensor(fine_BQT, device=self.device))
        return audio_BS.float().cpu().numpy()

    @torch.no_grad()
    def _semantic(self, rows: int, seed: int, n_tokens: int) -> np.ndarray:
        torch.manual_seed(seed)
        tokens_BT = self.model.semantic.generate(
            self.inputs["input_ids"].repeat(rows, 1),
            attention_mask=self.inputs["attention_mask"].repeat(rows, 1),
            min_new_tokens=n_tokens,
            max_new_tokens=n_tokens,
            **self._configs("semantic"),
        )
        return tokens_BT.cpu().numpy()

    def _configs(self, *stages: str) -> dict[str, Any]:
        return {name: self.configs[name] for name in (f"{s}_generation_config" for s in stages)}
