"""Traces against forward hooks in the original's modules, while it draws."""

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch

TEXT = "hello there, the weather is nice today"
VOICE = "en_speaker_6"
# What the documentation promises. Activations up to 7 in float32 were 3e-6 apart.
TOLERANCE = 1e-4
HEADS = 2


def last(value: torch.Tensor) -> np.ndarray:
    """Of the position that is drawn from."""
    return value[0, -1].numpy().copy()


def whole(value: torch.Tensor) -> np.ndarray:
    return value[0].numpy().copy()


@contextlib.contextmanager
def recording(reference, kind: str, pick=last) -> Iterator[tuple[object, dict[str, list]]]:
    """The original, and what its modules of one stage gave in every call, by our names."""
    model = reference.models[kind]
    model = model["model"] if kind == "text" else model
    seen: dict[str, list] = {}
    keys: dict[int, list[np.ndarray]] = {}
    handles = []

    def note(name: str, value: torch.Tensor) -> None:
        seen.setdefault(name, []).append(pick(value))

    def on_output(module, name: str) -> None:
        def hook(module, args, output):
            note(name, output[0] if isinstance(output, tuple) else output)

        handles.append(module.register_forward_hook(hook))

    def on_heads(layer: int, attn) -> None:
        """Queries, keys and values of all heads, and attention weights from them."""

        def project(module, args, output):
            q, k, v = (z.unflatten(-1, (HEADS, -1)) for z in output.chunk(3, dim=-1))
            for name, value in (("q", q), ("k", k), ("v", v)):
                note(f"h.{layer}.attn.{name}", value)
            if kind == "fine":
                logits = torch.einsum("thk,mhk->thm", q[0], k[0])
            else:
                if q.shape[1] > 1:  # a prompt: a new cache
                    keys[layer] = []
                keys[layer] += list(k[0])
                logits = torch.einsum("hk,mhk->hm", q[0, -1], torch.stack(keys[layer]))
            weights = torch.softmax(logits * q.shape[-1] ** -0.5, dim=-1)
            seen.setdefault(f"h.{layer}.attn.weights", []).append(weights.numpy().copy())

        def gather(module, args):
            note(f"h.{layer}.attn.mixed", args[0].unflatten(-1, (HEADS, -1)))

        handles.append(attn.c_attn.register_forward_hook(project))
        handles.append(attn.c_proj.register_forward_pre_hook(gather))

    on_output(model.transformer.drop, "embed")
    on_output(model.transformer.ln_f, "ln_f")
    for layer, block in enumerate(model.transformer.h):
        on_output(block, f"h.{layer}.resid")
        on_output(block.attn.c_proj, f"h.{layer}.attn.out")
        on_output(block.mlp.gelu, f"h.{layer}.mlp.act")
        on_output(block.mlp, f"h.{layer}.mlp.out")
        on_heads(layer, block.attn)
    try:
        with reference.running() as suno:
            yield suno, seen
    finally:
        for handle in handles:
            handle.remove()


def names_of(bark, stage: str) -> set[str]:
    return {n.partition(".")[2] for n in bark.trace_names() if n.startswith(f"{stage}.")}


def check_steps(bark, trace, stage: str, seen: dict[str, list]) -> None:
    assert seen.keys() == names_of(bark, stage)
    for name, values in seen.items():
        ours = trace[f"{stage}.{name}"]
        for step, theirs in enumerate(values):
            if name.endswith("weights"):
                n = theirs.shape[-1]
                assert not np.any(ours[step][:, n:]), (name, step)
                own = ours[step][:, :n]
            else:
                own = ours[step]
            np.testing.assert_allclose(own, theirs, atol=TOLERANCE, err_msg=f"{name} {step}")


@pytest.mark.parametrize("voice", [None, VOICE])
def test_semantic(reference, bark, voice):
    with recording(reference, "text") as (suno, seen):
        tokens = suno.generate_text_semantic(
            TEXT, voice, temp=1.0, max_gen_duration_s=0.5, allow_early_stop=False, silent=True
        )
    trace = bark.trace(text=TEXT, semantic=tokens, voice=voice, names="semantic.**")
    assert len(seen["ln_f"]) == len(tokens) > 20
    check_steps(bark, trace, "semantic", seen)


@pytest.mark.thorough  # the original takes a minute
def test_coarse_while_the_context_moves(reference, bark):
    semantic = np.random.default_rng(1).integers(0, 10_000, 230)
    with recording(reference, "coarse") as (suno, seen):
        codes = suno.generate_coarse(semantic, None, temp=1.0, silent=True)
    trace = bark.trace(semantic=semantic, coarse=codes, names="coarse.**")
    assert len(seen["ln_f"]) == codes.size > 630
    check_steps(bark, trace, "coarse", seen)


@pytest.mark.thorough
def test_fine(reference, bark):
    """Two windows: frames from 512 on are read and predicted once more in the second."""
    coarse = np.random.default_rng(0).integers(0, 1024, (2, 1100))
    with recording(reference, "fine", whole) as (suno, seen):
        codes = suno.generate_fine(coarse, None, temp=1.0)
    trace = bark.trace(fine=codes, sampling={"fine": {"temperature": 0}}, names="fine.**")
    assert seen.keys() == names_of(bark, "fine")
    for name, values in seen.items():
        first, second = np.stack(values[:6]), np.stack(values[6:])
        n = 1100 - 512
        theirs = np.concatenate([first[:, :512], second[:, second.shape[1] - n :]], axis=1)
        ours = trace[f"fine.{name}"][2:]
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE, err_msg=name)
