"""The preset "notebook" against the recipe of the original's notebook long_form_generation."""

import dataclasses

import numpy as np

from bark_jax.generation import Generation
from bark_jax.long.run import generate_long
from bark_jax.stages.coarse_plan import make_plan
from bark_jax.stages.fine import plan_windows
from bark_jax.stages.semantic import max_tokens
from tests.parity.oracle_noise import SAFE_GAP, exponential, fine_draws, gumbel
from tests.parity.test_pipeline_parity import AUDIO_TOLERANCE, LAYOUT

SENTENCES = ["hello there!", "Mr. Brown paid 3.50 for it [laughs].", "how are you?"]
SEEDS = [2, 11, 23]  # of the noise of each sentence, with no choice too narrow
SPEAKER = "v2/en_speaker_6"
DURATION_S = 0.5  # of a sentence: random weights do not end by themselves
N_SEMANTIC = max_tokens(DURATION_S, LAYOUT)
N_COARSE = make_plan(np.zeros(N_SEMANTIC, int), None, LAYOUT, 630).n_tokens


def noise_of(index):
    """E of the three stages for one sentence, and that of the fine stage as the original draws."""
    windows = plan_windows(N_COARSE // 2, 464, LAYOUT)  # frames of the speaker
    seed = SEEDS[index]
    E_fine = exponential(seed, 8 * len(windows), 1024, 1024)
    E = exponential(seed, N_SEMANTIC, 10_001), exponential(seed, N_COARSE, 1024), E_fine
    return E, fine_draws(E_fine, windows, 2)


def notebook(reference):
    """A sentence at a time: its tokens and audio, as the notebook's advanced recipe makes them."""
    for index, sentence in enumerate(SENTENCES):
        (E_semantic, E_coarse, _), draws = noise_of(index)
        with reference.running(iter(E_semantic)) as suno:
            semantic = suno.generate_text_semantic(
                sentence, SPEAKER, temp=0.6, min_eos_p=0.05, silent=True,
                use_kv_caching=True, max_gen_duration_s=DURATION_S,
            )  # fmt: skip
        gaps = [reference.min_gap]
        with reference.running(iter(E_coarse)) as suno:
            coarse = suno.generate_coarse(semantic, SPEAKER, silent=True, use_kv_caching=True)
        gaps.append(reference.min_gap)
        with reference.running(draws) as suno:
            fine = suno.generate_fine(coarse, SPEAKER)
            audio = suno.codec_decode(fine)
        assert min([*gaps, reference.min_gap]) > SAFE_GAP, "choose other seeds"
        yield semantic, coarse, fine, audio


@dataclasses.dataclass
class Noisy:
    """Our Bark, with the original's noise for every piece in place of seeds."""

    bark: object
    made: list = dataclasses.field(default_factory=list)

    def __getattr__(self, name):
        return getattr(self.bark, name)

    def stream(self, text, *, voice, seed, sampling, batch_rows):
        noise = [tuple(map(gumbel, noise_of(number)[0])) for number in seed]
        semantic, coarse, fine = zip(*noise, strict=True)
        options = {"voice": voice, "sampling": sampling}
        tokens = self.bark.semantic(text, noise=list(semantic), **options)
        codes = self.bark.coarse(tokens, noise=list(coarse), **options)
        frames = self.bark.fine(codes, noise=list(fine), **options)
        for row, audio in enumerate(self.bark.decode(frames)):
            made = Generation(
                audio, self.bark.sample_rate, tokens[row], codes[row], frames[row], text[row],
                seed[row], "max_duration", {}, {},
            )  # fmt: skip
            self.made.append(made)
            yield row, made


def test_every_sentence_has_the_originals_tokens(reference, bark):
    ours = Noisy(bark)
    made = generate_long(
        ours,
        " ".join(SENTENCES),
        voice=SPEAKER,
        seed=0,
        settings="notebook",
        sampling={"semantic": {"max_duration_s": DURATION_S}},
    )
    assert [piece["text"] for piece in made.pieces] == SENTENCES
    pause = np.zeros(6000, np.float32)  # a quarter of a second
    want_audio = []
    for got, want in zip(ours.made, notebook(reference), strict=True):
        for tokens, theirs in zip((got.semantic, got.coarse, got.fine), want, strict=False):
            np.testing.assert_array_equal(tokens, theirs)
        want_audio += [want[3], pause]
    # the notebook ends with a pause, too
    np.testing.assert_allclose(
        made.audio, np.concatenate(want_audio)[: -len(pause)], atol=AUDIO_TOLERANCE
    )
