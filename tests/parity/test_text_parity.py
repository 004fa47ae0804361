"""Text and voices against the original: its tokenizer, and its 271 presets."""

import importlib.util
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from bark_jax.config import TokenLayout
from bark_jax.sources.voice_library import VoiceLibrary, _package_presets
from bark_jax.text import Tokenizer, encode_text, normalize_whitespace
from bark_jax.voices import Voice

if importlib.util.find_spec("bark") is None:
    pytest.skip("needs the extra parity", allow_module_level=True)

import torch
import transformers

from tests.parity.reference import suno, write_vocab

LAYOUT = TokenLayout()
LANGUAGES = "en de es fr hi it ja ko pl pt ru tr zh".split()
TEXTS = [
    "hello there",
    "Hello THERE, unbreakable!",
    "the weather   is\tnice\n today",
    "no\u00a0break\u3000ideographic\x1cfile\x85next",
    "你好hello 你 好吗。",
    "日本語のテキスト、カタカナ",
    "한국어 텍스트",
    "éléphant ß ü Ümlaut çedilla ñ",
    "نص عربي हिन्दी",
    "[laughs] [clears throat] ♪ la la ♪ [MAN]",
    "[MASK] [PAD][UNK] [CLS]x[SEP]",
    "a\x00b\x07c\x1bd\ufffde\x7ff",
    "zero\u200bwidth\u200djoin\u2060er \ufeff",
    "😀 smile 👩‍👩‍👧 ❤️ 🇩🇪",
    "it's 3.14% — 'quoted' “curly” … $5 @home #tag a_b a-b",
    "x" * 100,
    "x" * 101,
    "hello" * 20 + " " + "hello" * 21,
    "\U00020000\uf900 rare ideographs",
    "ﬁ ligature Å Ω ½ ①",
    "ab#c ##s ## s",
]


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """Ours, and the original's as `Reference.load` makes it."""
    folder = tmp_path_factory.mktemp("tokenizer")
    write_vocab(folder / "vocab.txt")
    theirs = transformers.BertTokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=False)
    return Tokenizer.from_directory(folder), theirs


@pytest.mark.parametrize("text", TEXTS, ids=[f"{i}" for i in range(len(TEXTS))])
def test_tokens_are_the_originals(tokenizers, text):
    ours, theirs = tokenizers
    text = unicodedata.normalize("NFC", text)  # the original's slow tokenizer did, its fast not
    assert normalize_whitespace(text) == suno._normalize_whitespace(text)
    assert ours.encode(text) == suno._tokenize(theirs, text)


def test_decomposed_text_gives_the_tokens_of_composed(tokenizers):
    ours, theirs = tokenizers
    decomposed = unicodedata.normalize("NFD", "éléphant ü")
    assert decomposed != "éléphant ü"
    assert ours.encode(decomposed) == theirs.encode("éléphant ü", add_special_tokens=False)


def test_random_text_gives_the_originals_tokens(tokenizers):
    """Code points of every plane, drawn so that most categories come up."""
    ours, theirs = tokenizers
    rng = np.random.default_rng(0)
    highs = np.array([0x80, 0x250, 0x3000, 0xA000, 0xD800, 0x20000])
    for _ in range(300):
        codes = rng.integers(0, highs[rng.integers(0, len(highs), 20)])
        text = unicodedata.normalize("NFC", "".join(map(chr, codes[(codes >> 11) != 0x1B])))
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False), ascii(text)


@pytest.mark.parametrize("n_words", [1, 255, 256, 257, 700])
def test_padded_ids_are_the_originals(tokenizers, monkeypatch, n_words):
    """The first 256 ids that the original gives its semantic model."""
    ours, theirs = tokenizers
    text = " ".join("hello there weather".split()[i % 3] for i in range(n_words))
    model = _Recorder()
    monkeypatch.setitem(suno.models, "text", {"model": model, "tokenizer": theirs})
    with pytest.raises(StopIteration):
        suno.generate_text_semantic(text)
    np.testing.assert_array_equal(encode_text(ours, text, LAYOUT), model.ids[0, :256].numpy())


class _Recorder:
    """Stands in for the semantic model: keeps the ids it is called with, and stops."""

    def __call__(self, ids, **_):
        self.ids = ids
        raise StopIteration

    def parameters(self):
        yield torch.zeros(1)  # the original asks for one to learn the device


def test_library_knows_every_preset_of_the_original():
    names = VoiceLibrary([], LAYOUT).names()
    assert len(names) == 271
    assert {name.replace("\\", "/") for name in suno.ALLOWED_PROMPTS} <= set(names)
    languages = [f"{v2}{code}" for v2 in ("", "v2/") for code in (*LANGUAGES, "")]
    speakers = {
        f"{code}_speaker_{i}" for code in languages if code[-1:].isalpha() for i in range(10)
    }
    assert set(names) == speakers | {"announcer"} | {f"speaker_{i}" for i in range(10)}


def test_all_presets_are_valid_and_have_the_known_facts():
    library = VoiceLibrary([], LAYOUT)
    lengths = {}
    for name in library.names():
        voice = library.resolve(name)
        assert voice is not None and voice.name == name
        N, T = len(voice.semantic), voice.coarse.shape[1]
        assert int(75 * N / 49.9) == T
        assert voice.fine.shape == (8, T)
        np.testing.assert_array_equal(voice.fine[:2], voice.coarse)
        assert {a.dtype for a in (voice.semantic, voice.coarse, voice.fine)} == {np.dtype(np.int32)}
        lengths[name] = (N, T)
    assert lengths["v2/en_speaker_6"] == (309, 464)
    assert lengths["announcer"] == (499, 750)
    assert lengths["en_speaker_6"] == (158, 237)
    assert lengths["de_speaker_7"] == (731, 1098) == max(lengths.values())
    assert min(lengths.values()) == (158, 237)
    v2 = [N for name, (N, _) in lengths.items() if name.startswith("v2/")]
    assert (min(v2), max(v2)) == (192, 697)


def test_presets_are_found_without_importing_the_package():
    spec = importlib.util.find_spec("bark")
    assert spec is not None and spec.origin is not None
    assert _package_presets(LAYOUT) == [Path(spec.origin).parent / "assets" / "prompts"]


def test_presets_are_not_offered_to_a_model_of_other_tokens():
    other = TokenLayout(
        codebook_size=64, coarse_semantic_pad_token=10_128, coarse_infer_token=10_129
    )
    assert VoiceLibrary([], other).names() == []


def test_saved_voice_has_the_originals_format(tmp_path):
    """The original loads ours; ours loads the original's; the member files are equal in form."""
    from bark.api import save_as_prompt

    rng = np.random.default_rng(0)
    arrays = {
        "semantic_prompt": rng.integers(0, 10_000, 100),
        "coarse_prompt": rng.integers(0, 1024, (2, 150)),
        "fine_prompt": rng.integers(0, 1024, (8, 150)),
    }
    save_as_prompt(str(tmp_path / "theirs.npz"), arrays)
    voice = Voice.load(tmp_path / "theirs.npz", LAYOUT)
    voice.save(tmp_path / "ours.npz")
    loaded = suno._load_history_prompt(str(tmp_path / "ours.npz"))
    assert sorted(loaded) == sorted(arrays)
    for key, array in arrays.items():
        np.testing.assert_array_equal(loaded[key], array)
