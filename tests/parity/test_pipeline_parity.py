"""The whole chain against the original: text and voice in, tokens of all stages and audio out."""

from pathlib import Path

import numpy as np
import pytest

from bark_jax.config import TokenLayout
from bark_jax.stages.coarse_plan import make_plan
from bark_jax.stages.fine import plan_windows
from bark_jax.stages.semantic import max_tokens
from tests.parity.oracle_noise import SAFE_GAP, exponential, fine_draws, gumbel

LAYOUT = TokenLayout()
TEXTS = {
    "announcer": "hello there!",
    "de_speaker_7": "the weather is nice today",
    "en_speaker_6": "please call me back, tomorrow [laughs]",
    "v2/en_speaker_6": "ü é ß 你好 ♪",
    "v2/zh_speaker_3": "你好, hello",
    None: "unbreakable?",
}
DURATION_S = 0.9
N_SEMANTIC = max_tokens(DURATION_S, LAYOUT)
N_COARSE = make_plan(np.zeros(N_SEMANTIC, int), None, LAYOUT, 630).n_tokens
AUDIO_TOLERANCE = 1e-5  # measured 7e-7 between torch and jax at an RMS near 0.1
GREEDY = {stage: {"temperature": 0} for stage in ("semantic", "coarse", "fine")}


def fine_noise(n_history: int, seed: int):
    """E of the fine stage, as laid out for us and in the original's order."""
    windows = plan_windows(N_COARSE // 2, min(512, n_history), LAYOUT)
    E = exponential(seed, 8 * len(windows), 1024, 1024)
    return E, fine_draws(E, windows, 2)


def run_theirs(reference, text, voice, seed: int) -> tuple[dict, list[np.ndarray]]:
    """The original's stages one after the other; their outputs, and E of each stage for ours."""
    n_history = 0
    if voice is not None:
        with reference.running() as suno:
            n_history = suno._load_history_prompt(voice)["fine_prompt"].shape[1]
    E_semantic = exponential(seed, N_SEMANTIC, 10_001)
    E_coarse = exponential(seed, N_COARSE, 1024)
    E_fine, draws = fine_noise(n_history, seed)
    out, gaps = {}, []
    with reference.running(iter(E_semantic)) as suno:
        out["semantic"] = suno.generate_text_semantic(
            text, voice, silent=True, use_kv_caching=True, max_gen_duration_s=DURATION_S
        )
    gaps.append(reference.min_gap)
    with reference.running(iter(E_coarse)) as suno:
        out["coarse"] = suno.generate_coarse(
            out["semantic"], voice, silent=True, use_kv_caching=True
        )
    gaps.append(reference.min_gap)
    with reference.running(draws) as suno:
        out["fine"] = suno.generate_fine(out["coarse"], voice)
        out["audio"] = suno.codec_decode(out["fine"])
    gaps.append(reference.min_gap)
    assert min(gaps) > SAFE_GAP, f"choose another seed: {gaps}"
    return out, [gumbel(E) for E in (E_semantic, E_coarse, E_fine)]


def test_a_batch_of_voices_with_noise(reference, bark):
    """Six rows, five presets: every stage's tokens, each stage fed with our own tokens."""
    voices, texts = list(TEXTS), list(TEXTS.values())
    both = [run_theirs(reference, TEXTS[v], v, seed) for seed, v in enumerate(voices)]
    theirs, noise = zip(*both, strict=True)
    semantic = bark.semantic(
        texts,
        voice=voices,
        sampling={"semantic": {"max_duration_s": DURATION_S}},
        noise=[row[0] for row in noise],
    )
    coarse = bark.coarse(semantic, voice=voices, noise=[row[1] for row in noise])
    fine = bark.fine(coarse, voice=voices, noise=[row[2] for row in noise])
    audio = bark.decode(fine)
    for i, want in enumerate(theirs):
        np.testing.assert_array_equal(semantic[i], want["semantic"], err_msg=f"row {i}")
        np.testing.assert_array_equal(coarse[i], want["coarse"], err_msg=f"row {i}")
        np.testing.assert_array_equal(fine[i], want["fine"], err_msg=f"row {i}")
        np.testing.assert_allclose(audio[i], want["audio"], atol=AUDIO_TOLERANCE)


@pytest.mark.thorough  # 768 steps of the original, and all that follow from them
def test_generate_audio_by_argmax(reference, bark):
    """`generate` against the original's one call, at its full length of 768 tokens."""
    from bark import api

    with reference.running():
        want, want_audio = api.generate_audio(
            TEXTS["announcer"], "announcer", silent=True, output_full=True
        )
    assert reference.min_gap > SAFE_GAP
    got = bark.generate(TEXTS["announcer"], voice="announcer", sampling=GREEDY)
    assert got.finish_reason == "max_tokens"
    for stage in ("semantic", "coarse", "fine"):
        np.testing.assert_array_equal(getattr(got, stage), want[f"{stage}_prompt"])
    assert got.audio.dtype == want_audio.dtype == np.float32
    np.testing.assert_allclose(got.audio, want_audio, atol=AUDIO_TOLERANCE)


@pytest.mark.thorough
def test_a_generation_as_the_next_voice(reference, bark, tmp_path):
    """Handed on as the original's dict, as our result, and through a saved file."""
    sampling = {**GREEDY, "semantic": {"temperature": 0, "max_duration_s": DURATION_S}}
    first = bark.generate("hello there", sampling=sampling)
    prompt = {f"{s}_prompt": getattr(first, s) for s in ("semantic", "coarse", "fine")}
    with reference.running() as suno:
        semantic = suno.generate_text_semantic(
            "please", prompt, silent=True, use_kv_caching=True, max_gen_duration_s=DURATION_S
        )
        coarse = suno.generate_coarse(semantic, prompt, silent=True, use_kv_caching=True)
        fine = suno.generate_fine(coarse, prompt)
    assert reference.min_gap > SAFE_GAP
    path = tmp_path / "first.npz"
    first.save_voice(path)
    results = bark.generate(["please"] * 3, voice=[first, prompt, str(path)], sampling=sampling)
    for result in results:
        np.testing.assert_array_equal(result.semantic, semantic)
        np.testing.assert_array_equal(result.coarse, coarse)
        np.testing.assert_array_equal(result.fine, fine)


@pytest.fixture(scope="module")
def all_presets() -> list[Path]:
    import bark

    return sorted((Path(bark.__file__).parent / "assets" / "prompts").rglob("*.npz"))


def test_every_preset_is_a_voice_and_trims_as_in_the_original(reference, bark, all_presets):
    """Kept histories of all 271, through the original's own code up to its first context."""
    from tests.parity.test_stages_parity import ConstantModel

    assert len(all_presets) == 271
    model = ConstantModel(12_096)
    tokens = np.arange(2)
    for path in all_presets:
        voice = bark.voices.resolve(path)
        model.contexts.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(reference.models, "coarse", model)
            with reference.running() as suno:
                suno.generate_coarse(tokens, str(path), silent=True, use_kv_caching=True)
        plan = make_plan(tokens, (voice.semantic, voice.coarse), LAYOUT, 630)
        np.testing.assert_array_equal(plan.context(np.zeros(0, int)), model.contexts[0])
