"""The page of a model directory tells what its config and its voices say."""

from bark_jax.checkpoint import save_sampling
from bark_jax.model_card import MARK, card, write_card
from bark_jax.sampling_config import SamplingConfig
from tests import tiny

SOURCE = {
    "name": "Tiny", "corpus": "none", "minutes": {"fine": 3, "codec": 0.5}, "phones": ["a"],
    "untrained_stages": [], "trained": [{"stage": "fine", "steps": 20, "export": None}],
}  # fmt: skip


def test_a_card_has_the_sizes_the_origin_and_the_voices(tmp_path):
    (tmp_path / "voices" / "en").mkdir(parents=True)
    (tmp_path / "voices" / "en" / "ann.npz").touch()
    save_sampling(tmp_path, {"semantic": {"temperature": 0.4}, "coarse": {"top_p": None}})
    write_card(tmp_path, tiny.CONFIG, SOURCE)
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("---\nlibrary_name: bark_jax\n") and "\n# Tiny\n" in text
    fine = tiny.CONFIG.fine
    assert f"| fine | {fine.n_layer} layers of width {fine.n_embd}, {fine.n_head} heads |" in text
    # 40 tokens at 9.7 a second
    assert "at most 4 s in one piece, and a text at most 12 pieces" in text
    assert "Voices: en/ann." in text and "--voice en/ann -o" in text
    assert "it draws with semantic temperature 0.4, coarse top_p None.\n" in text
    origin = ["- corpus: none", "- minutes: fine 3, codec 0.5", "- trained: stage fine, steps 20"]
    assert "\n".join(origin) in text and "{" not in text


def test_a_card_says_what_is_not_trained_and_what_is_not_known():
    text = card(tiny.CONFIG, {"untrained_stages": ["fine", "codec"]}, [], SamplingConfig())
    assert "**Not trained yet: fine, codec.**" in text and "no voices of its own" in text
    assert "Not known." in text


def test_a_card_written_by_hand_stays(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("my own")
    write_card(tmp_path, tiny.CONFIG, SOURCE)
    assert path.read_text() == "my own"
    path.write_text(MARK)
    write_card(tmp_path, tiny.CONFIG, SOURCE)
    assert "# Tiny" in path.read_text()
