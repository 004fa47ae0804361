"""What nano is: its sizes, its text vocabulary, its phones, and a model directory to start from."""

import string
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from bark_jax.config import BarkConfig, CodecConfig, FineGPTConfig, GPTConfig, TokenLayout
from bark_jax.letters import LetterSounds
from bark_jax.lexicon import Lexicon, forms_of
from bark_jax.preparation.semantic_tokenizers import STATES_PER_PHONE
from bark_jax.runtime.paths import build_once
from bark_jax.sources.untrained import write_random
from bark_jax.text import TextSettings, Tokenizer
from nano.corpus import SAMPLE_RATE, SILENCE, VOICES, own_phone

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MARKS = ".,?!'-"
PHONES = (  # flite's
    "aa", "ae", "ah", "ao", "aw", "ax", "ay", "b", "ch", "d", "dh", "eh", "er", "ey", "f", "g",
    "hh", "ih", "iy", "jh", "k", "l", "m", "n", "ng", "ow", "oy", "p", "pau", "r", "s", "sh", "t",
    "th", "uh", "uw", "v", "w", "y", "z", "zh",
)  # fmt: skip
SEMANTIC_RATE_HZ, FRAME_RATE_HZ = Fraction(25), Fraction(50)
CODEBOOK_SIZE = 512
# What it draws with by itself; how it was chosen: docs/nano.md.
SAMPLING = {"semantic": {"temperature": 0.5}, "coarse": {"temperature": 0.4}}


def pieces() -> list[str]:
    """The text vocabulary: letters and phones, at a word's beginning or inside it, and marks."""
    letters = [(letter, f"##{letter}") for letter in string.ascii_lowercase]
    sounds = [forms_of(phone) for phone in PHONES if phone != SILENCE]
    first, later = zip(*letters, *sounds, strict=True)
    return [*SPECIAL, *first, *later, *MARKS]


def phones_of(voices: Sequence[str]) -> list[str]:
    """What semantic tokens are thirds of: every phone of every voice."""
    return [own_phone(voice, phone) for voice in voices for phone in PHONES]


def nano_config(voices: Sequence[str] = VOICES) -> BarkConfig:
    """Sizes and token layout. One window of each kind is about a second of speech."""
    n_pieces, n_semantic = len(pieces()), STATES_PER_PHONE * len(phones_of(voices))
    first_text = n_semantic + 1
    coarse_end = n_semantic + 2 * CODEBOOK_SIZE
    tokens = TokenLayout(
        semantic_vocab_size=n_semantic,
        semantic_pad_token=n_semantic,
        text_encoding_offset=first_text,
        text_pad_token=first_text + n_pieces,
        semantic_infer_token=first_text + n_pieces + 1,
        text_length=128,
        max_semantic_tokens=250,  # 10 s
        semantic_rate_hz=SEMANTIC_RATE_HZ,
        n_coarse_codebooks=2,
        codebook_size=CODEBOOK_SIZE,
        coarse_rate_hz=FRAME_RATE_HZ,
        coarse_semantic_pad_token=coarse_end,
        coarse_infer_token=coarse_end + 1,
        coarse_semantic_length=32,
        min_coarse_history=16,
        max_coarse_history=64,
        coarse_window=32,
        max_coarse_input=96,
        n_fine_codebooks=4,
        fine_window=128,
        fine_history=64,
        fine_hop=64,
    )
    return BarkConfig(
        semantic=GPTConfig(
            block_size=1 + tokens.text_length + tokens.max_semantic_tokens,
            input_vocab_size=tokens.semantic_infer_token + 1,
            output_vocab_size=n_semantic + 1,
            n_layer=4, n_head=4, n_embd=128,
        ),
        coarse=GPTConfig(
            block_size=1 + tokens.coarse_semantic_length + tokens.max_coarse_input,
            input_vocab_size=coarse_end + 2,
            output_vocab_size=coarse_end + 2,
            n_layer=4, n_head=4, n_embd=128,
        ),
        fine=FineGPTConfig(
            block_size=tokens.fine_window,
            input_vocab_size=CODEBOOK_SIZE + 1,
            output_vocab_size=CODEBOOK_SIZE + 1,
            n_layer=2, n_head=4, n_embd=128, n_codes_total=tokens.n_fine_codebooks,
        ),
        codec=CodecConfig(
            kind="source_filter", sample_rate=SAMPLE_RATE, width=192, n_blocks=3, latent_dim=64,
            codebook_size=CODEBOOK_SIZE, n_codebooks=tokens.n_fine_codebooks,
        ),
        tokens=tokens,
    )  # fmt: skip


def make_tokenizer(lexicon: Lexicon, letters: LetterSounds | None = None) -> Tokenizer:
    """The tokenizer of nano: English text, as phones.

    Without `letters`, words that the lexicon lacks stay letters.
    """
    vocab = {piece: index for index, piece in enumerate(pieces())}
    settings = TextSettings(is_lower_case=True, spells_out=True, follows_phones=True)
    return Tokenizer(vocab, settings, lexicon, letters)


def write_base(directory: Path, voices: Sequence[str], lexicon: Lexicon) -> Path:
    """Sizes, text vocabulary and random values, for training from scratch. Made once."""

    def write(directory: Path) -> None:
        write_random(directory, nano_config(voices), source={"phones": phones_of(voices)})
        make_tokenizer(lexicon).save(directory / "tokenizer")

    return build_once(directory, write)
