"""Streams in exact mode give the samples of `generate`, bit by bit, and some of them early."""

import functools

import numpy as np
import pytest

from bark_jax.config import BarkConfig, CodecConfig, FineGPTConfig, GPTConfig, TokenLayout
from bark_jax.models import encodec
from bark_jax.models.fine_gpt import FineGPT
from bark_jax.models.gpt import GPT
from bark_jax.pipeline import Bark
from bark_jax.processors import MinP, RepetitionPenalty
from bark_jax.runtime.placement import StageParams
from bark_jax.sources.voice_library import VoiceLibrary
from bark_jax.stages.fine import plan_windows
from bark_jax.stages.runner import StageRunner
from bark_jax.streaming.fine_frames import ExactFrames
from bark_jax.text import Tokenizer
from tests import tiny

TOKENS = ("semantic", "coarse", "fine")


@pytest.fixture(scope="module")
def bark() -> Bark:
    return tiny.make_bark()


def check_exact(bark: Bark, **arguments) -> list[int]:
    """Compares a stream with `generate`; returns the lengths of its chunks."""
    whole = bark.generate(**arguments)
    stream = bark.stream_audio(**arguments)
    chunks, lengths_told = [], []
    for chunk in stream:
        assert chunk.dtype == np.float32 and chunk.size
        chunks.append(chunk)
        lengths_told.append(stream.n_samples)
    made = stream.generation
    assert made is not None
    np.testing.assert_array_equal(np.concatenate([np.zeros(0, np.float32), *chunks]), whole.audio)
    for name in (*TOKENS, "audio"):
        np.testing.assert_array_equal(getattr(made, name), getattr(whole, name), err_msg=name)
    assert (made.text, made.seed, made.settings, made.finish_reason) == (
        whole.text, whole.seed, whole.settings, whole.finish_reason,
    )  # fmt: skip
    assert made.timings.keys() == whole.timings.keys()
    assert set(lengths_told) <= {None, len(whole.audio)} and stream.n_samples == len(whole.audio)
    return [len(chunk) for chunk in chunks]


# voice (semantic tokens), seconds, whether it may end by itself
CASES = [
    (None, None, True),
    (None, 3.5, False),
    (30, None, False),
    (7, 2.0, True),
    (14, 3.0, False),
    (30, 0.0, False),
]


@pytest.mark.parametrize("n_voice, seconds, may_end", CASES)
def test_a_stream_is_what_generate_gives(bark, n_voice, seconds, may_end):
    semantic = {"max_duration_s": seconds, "allow_early_stop": may_end, "temperature": 1.0}
    check_exact(
        bark,
        text="hello there",
        voice=None if n_voice is None else tiny.make_voice(n_voice),
        seed=5,
        sampling={"semantic": semantic},
    )


def test_a_text_that_ends_at_once_gives_no_chunk(bark):
    assert check_exact(bark, text="hello", voice=tiny.make_voice(14, 2), seed=3,
                       sampling={"semantic": {"min_eos_p": 0.0}}) == []  # fmt: skip


def test_processors_see_what_they_would_see(bark):
    """Two that look at what was drawn before, in every stage."""
    own = [RepetitionPenalty(1.5), MinP(0.02)]
    sampling = {stage: {"processors": own} for stage in TOKENS}
    check_exact(bark, text="hello there", voice=tiny.make_voice(30), seed=5, sampling=sampling)


def test_offloaded_parameters_give_the_same():
    offloaded = tiny.make_bark(offload=True)
    check_exact(offloaded, text="hello", seed=3)


def test_sound_comes_before_the_semantic_tokens_have_ended(bark, monkeypatch):
    """What is final is handed out: with a voice, the frames below the end less a window's hop."""
    from bark_jax.streaming import semantic_draws

    drawn = []
    monkeypatch.setattr(
        semantic_draws, "results", lambda *args, old=semantic_draws.results: note(drawn, old(*args))
    )

    def note(drawn, results):
        drawn.append(len(results[0].tokens))
        return results

    stream = bark.stream_audio(
        "hello", voice=tiny.make_voice(30), sampling={"semantic": {"allow_early_stop": False}}
    )
    next(stream)
    assert drawn[-1] < tiny.LAYOUT.max_semantic_tokens
    list(stream)
    assert drawn[-1] == tiny.LAYOUT.max_semantic_tokens


class CountedFrames:
    """Frames without a model: a window writes its number, as `FineFrames` would its codes."""

    def __init__(self, n_history: int, most: int, layout: TokenLayout) -> None:
        self.n_history, self.layout, self.n_known = n_history, layout, 0
        total = max(layout.fine_window, n_history + most)
        self.frames_TQ = np.full((total, 1), -1, np.int32)

    def fill(self, window, index):
        assert window.start + self.layout.fine_window <= len(self.frames_TQ)
        return np.full((self.layout.fine_window - window.n_seen, 1), index, np.int32)

    def codes(self, begin, end):
        return self.frames_TQ[self.n_history + begin : self.n_history + end].T


@pytest.mark.parametrize("n_history", [0, 237, 511, 512])
def test_frames_that_are_handed_out_are_not_written_again(n_history):
    """All lengths around the bounds of windows, at Bark's numbers, known bit by bit."""
    layout = TokenLayout()
    lengths = [1, 205, 511, 512, 513, 786, 787, 788, 1023, 1024, 1025, 1154, 1535, 1536, 1537, 2000]
    for n_frames in lengths:
        written = CountedFrames(n_history, n_frames, layout)
        for index, window in enumerate(plan_windows(n_frames, n_history, layout)):
            filled_TQ = written.fill(window, index)
            written.frames_TQ[window.fill : window.fill + len(filled_TQ)] = filled_TQ
        for ahead in (0, 70, 5000):  # frames by which the length is known before the codes
            frames = CountedFrames(n_history, 2000, layout)
            exact, parts = ExactFrames(frames), []  # pyright: ignore[reportArgumentType]
            for known in [*range(0, n_frames, 30), n_frames]:
                frames.n_known = known
                least = min(n_frames, known + ahead)
                parts.append(exact.advance(max(1, least), least == n_frames))
            made = np.concatenate(parts, axis=1)
            np.testing.assert_array_equal(made, written.codes(0, n_frames))
            if n_frames > 1535:
                early = sum(part.shape[1] for part in parts[:-1])
                assert early >= layout.fine_hop, "some are final before the end"


# Bark's layout with few parameters: what changes between models is only how long it takes.
SHORT = BarkConfig(
    semantic=GPTConfig(
        input_vocab_size=129_600, output_vocab_size=10_048, n_layer=1, n_head=2, n_embd=8
    ),
    coarse=GPTConfig(
        input_vocab_size=12_096, output_vocab_size=12_096, n_layer=1, n_head=2, n_embd=8
    ),
    fine=FineGPTConfig(
        input_vocab_size=1056, output_vocab_size=1056, n_layer=1, n_head=2, n_embd=8
    ),
    codec=CodecConfig(sample_rate=300, n_filters=2, ratios=(2, 2), latent_dim=4, n_lstm=1),
)


@pytest.fixture(scope="module")
def barks_layout() -> Bark:
    modules = {"semantic": GPT, "coarse": GPT, "fine": FineGPT}

    @functools.cache
    def load(stage: str):
        if stage == "codec":
            return tiny.random_params(encodec.EnCodec, SHORT.codec, seed=3)
        seed = sorted(modules).index(stage)
        return tiny.random_params(modules[stage], getattr(SHORT, stage), tiny.F32, seed=seed)

    params = {stage: StageParams(functools.partial(load, stage)) for stage in (*modules, "codec")}
    tokenizer = Tokenizer({piece: index for index, piece in enumerate(tiny.PIECES)})
    runner = StageRunner(SHORT, params, tokenizer, tiny.F32, mesh=None)
    return Bark(runner, VoiceLibrary([], SHORT.tokens))


def voice_of(n_semantic: int) -> dict[str, np.ndarray]:
    layout = SHORT.tokens
    rng = np.random.default_rng(n_semantic)
    n_frames = int(n_semantic * layout.coarse_per_semantic / layout.n_coarse_codebooks)
    fine = rng.integers(0, layout.codebook_size, (layout.n_fine_codebooks, n_frames))
    semantic = rng.integers(0, layout.semantic_vocab_size, n_semantic)
    return {"semantic_prompt": semantic, "coarse_prompt": fine[:2], "fine_prompt": fine}


# semantic tokens; frames: 510, 511, 512, 514, 515 and 1022, 1023, 1025, 1026, and the ends
LENGTHS = [1, 47, 340, 341, 342, 680, 681, 682, 683, 768]
VOICES = [None, 158, 208, 341, 500]  # semantic tokens; 237, 312, 512 and 751 frames


@pytest.mark.thorough
@pytest.mark.parametrize("n_semantic", LENGTHS)
@pytest.mark.parametrize("n_voice", VOICES)
def test_streams_at_barks_layout_around_the_bounds_of_windows(barks_layout, n_voice, n_semantic):
    duration_s = (n_semantic - 0.5) / 49.9
    lengths = check_exact(
        barks_layout,
        text="hello",
        voice=None if n_voice is None else voice_of(n_voice),
        seed=n_semantic,
        sampling={"semantic": {"allow_early_stop": False, "max_duration_s": duration_s}},
    )
    frames = [length // SHORT.codec.hop_length for length in lengths]
    assert sum(frames) == int(n_semantic * 75 / 49.9)
    assert all(n == 64 for n in frames[:-1]), "chunks of the codec"
