"""Long texts over a stand-in model: voices over time, checks, joining, waves."""

import itertools

import numpy as np
import pytest

from bark_jax.long.guards import repeats_itself
from bark_jax.long.joining import Joiner, finish
from bark_jax.long.run import generate_long
from bark_jax.long.session import AHEAD
from bark_jax.long.settings import LongSettings
from bark_jax.sampling_config import BARK, SamplingConfig
from bark_jax.sound import loudness, sounding_spans
from tests.long.fake import RATE, FakeModel

SENTENCES = [f"this is the sentence with the number {name}." for name in (
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve",
)]  # fmt: skip
TEXT = " ".join(SENTENCES)
SINGLE = {"merge": False, "letters_per_s": 15.0}


def made_of(bark, text=TEXT, **options):
    options = {"settings": SINGLE, "seed": 5} | options
    return generate_long(bark, text, **options)


def seed_in_the_middle(made) -> float:
    """A judge of a user's: it likes the second try."""
    return -abs((made.seed >> 40) - 1.0) if made.text == SENTENCES[0] else float("nan")


JUDGE = SINGLE | {"judge": f"{__name__}:seed_in_the_middle"}


def test_a_judge_chooses_among_all_tries():
    made = made_of(FakeModel({SENTENCES[1]: ["", "short"]}), settings=JUDGE)
    first, second = made.pieces[:2]
    assert [one["mark"] for one in first["tries"]] == [-1, 0, -1] and first["chosen"] == 1
    # without a mark any try without a fault will do
    assert [one["mark"] for one in second["tries"]] == [None] * 3 and second["chosen"] == 0


def test_a_least_mark_is_a_check_like_others():
    made = made_of(FakeModel(), SENTENCES[0], settings=JUDGE | {"least_mark": -0.5})
    (piece,) = made.pieces
    assert [one["faults"] for one in piece["tries"]] == [["marked too low"], []]
    assert piece["chosen"] == 1


def asked(bark):
    """Every row that the model was asked for: {text: [voice of each try]}."""
    rows = [
        (text, voice)
        for call in bark.calls
        for text, voice in zip(call["text"], call["voice"], strict=True)
    ]
    return {text: [voice for own, voice in rows if own == text] for text, _ in rows}


def tokens_of(bark, text, voice, index):
    return bark.say(text, voice, 5 + index, 0, None).semantic


def test_pieces_are_said_in_order_with_pauses_between():
    bark = FakeModel()
    made = made_of(bark)
    assert [piece["text"] for piece in made.pieces] == SENTENCES
    ends = [piece["end_s"] for piece in made.pieces]
    begins = [piece["begin_s"] for piece in made.pieces]
    np.testing.assert_allclose(np.subtract(begins[1:], ends[:-1]), 0.25, atol=2 / RATE)
    assert begins[0] == 0 and ends[-1] == pytest.approx(made.duration_s, abs=1e-4)
    assert len(made.audio) == round(made.duration_s * RATE)
    spans = sounding_spans(made.audio, RATE)
    assert len(spans) == len(SENTENCES)  # silence around each piece is trimmed to less than 0.1 s
    assert all(later[0] - first[1] < 0.45 for first, later in itertools.pairwise(spans))


def test_pieces_are_as_loud_as_was_asked():
    made = made_of(FakeModel(), settings=SINGLE | {"loudness_lufs": -26})
    for piece in made.pieces:
        audio = made.audio[round(piece["begin_s"] * RATE) : round(piece["end_s"] * RATE)]
        assert loudness(audio, RATE) == pytest.approx(-26, abs=0.3)  # fades and rounding


def test_the_first_piece_is_the_anchor_of_all():
    bark = FakeModel()
    made = made_of(bark)
    assert [piece["continues"] for piece in made.pieces] == [None] + [0] * 11
    first = tokens_of(bark, SENTENCES[0], None, 0)
    for text in SENTENCES[1:]:
        (voice,) = asked(bark)[text]
        np.testing.assert_array_equal(voice.semantic, first)


def test_carry_continues_the_piece_before():
    bark = FakeModel()
    made = made_of(bark, settings=SINGLE | {"mode": "carry"})
    assert [piece["continues"] for piece in made.pieces] == [None, *range(11)]
    before = None
    for index, text in enumerate(SENTENCES):
        (voice,) = asked(bark)[text]
        if before is not None:
            np.testing.assert_array_equal(voice.semantic, before)
        before = tokens_of(bark, text, voice, index)


def test_reanchor_returns_to_the_anchor_and_its_chains_share_batches():
    bark = FakeModel(batch_rows=4)
    made = made_of(bark, settings=SINGLE | {"mode": "reanchor", "reanchor_every": 4})
    assert [p["continues"] for p in made.pieces] == [None, 0, 1, 2, 0, 4, 5, 6, 0, 8, 9, 10]
    assert [len(call["text"]) for call in bark.calls] == [1, 3, 3, 3, 2]


def test_a_given_voice_is_everybodys_and_one_batch():
    voice = FakeModel().say("a", None, 1, 0, None)
    bark = FakeModel(batch_rows=6)
    made = made_of(bark, voice=voice)
    assert [len(call["text"]) for call in bark.calls] == [12]
    assert all(own is voice for voices in asked(bark).values() for own in voices)
    assert made.manifest["voice"] == "Generation"


def test_speakers_have_voices_and_longer_pauses():
    text = "Ann: she begins with this.\nBob: and this is what he says.\nAnn: then she ends.\n"
    bark = FakeModel()
    ann = bark.say("a", None, 1, 0, None)
    made = made_of(bark, text, voices={"Ann": ann, "Bob": None}, settings=SINGLE)
    assert [piece["speaker"] for piece in made.pieces] == ["Ann", "Bob", "Ann"]
    assert made.pieces[0]["text"] == "she begins with this."
    assert asked(bark)["and this is what he says."] == [None]
    assert asked(bark)["then she ends."] == [ann]
    gap_s = made.pieces[1]["begin_s"] - made.pieces[0]["end_s"]
    assert gap_s == pytest.approx(0.5, abs=2 / RATE)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("short", "ends too early"),
        ("endless", "runs to the limit"),
        ("silent", "no sound"),
        ("pauses", "mostly silent"),
        ("clipped", "clipped"),
        ("again", "repeats itself"),
    ],
)
def test_a_faulty_piece_is_tried_again_with_another_seed(fault, says):
    bark = FakeModel({SENTENCES[3]: [fault]})
    piece = made_of(bark).pieces[3]
    first, second = piece["tries"]
    assert says in first["faults"] and second["faults"] == [] and piece["chosen"] == 1
    assert piece["tries"][0]["seed"] == 8 and piece["tries"][1]["seed"] == 8 + 2**40


def test_tries_are_bounded_and_the_best_one_wins():
    bark = FakeModel({SENTENCES[3]: ["silent", "clipped", "short", "short"]})
    made = made_of(bark)
    assert len(made.pieces[3]["tries"]) == 3 and made.pieces[3]["chosen"] == 1
    assert [len(piece["tries"]) for piece in made.pieces] == [1, 1, 1, 3] + [1] * 8
    assert [piece["text"] for piece in made.pieces] == SENTENCES


def test_a_recogniser_finds_missing_words():
    heard = iter(["this is the"] + [SENTENCES[0]] * 3)
    made = made_of(FakeModel(), SENTENCES[0], recognizer=lambda audio, rate: next(heard))
    (piece,) = made.pieces
    assert [one["faults"] for one in piece["tries"]] == [["misses words"], []]
    assert piece["tries"][0]["word_error_rate"] == pytest.approx(5 / 8, abs=1e-3)


def test_a_piece_that_waits_for_another_try_lets_others_go_ahead_but_not_too_far():
    bark = FakeModel({SENTENCES[1]: ["silent"] * 9}, batch_rows=1)
    made_of(bark, settings=SINGLE | {"tries": 9})
    before = [text for call in bark.calls for text in call["text"]]
    last_try = len(before) - 1 - before[::-1].index(SENTENCES[1])
    assert len(set(before[: last_try + 1])) <= 1 + AHEAD


def test_pieces_get_budgets_by_their_length():
    bark = FakeModel()
    made_of(bark, "one. this is a much longer sentence than that was.", settings=SINGLE)
    budgets = {
        text: limit
        for call in bark.calls
        for text, limit in zip(
            call["text"], call["sampling"]["semantic"]["max_duration_s"], strict=True
        )
    }
    short, long = budgets.values()
    assert 1.5 < short < 2.5 and 6 < long < 9


def test_a_limit_that_was_asked_for_is_no_fault():
    bark = FakeModel({SENTENCES[0]: ["endless"]})
    sampling = {"semantic": {"max_duration_s": 1.0}}
    made = made_of(bark, SENTENCES[0], sampling=sampling)
    assert "runs to the limit" not in made.pieces[0]["tries"][0]["faults"]
    assert bark.calls[0]["sampling"]["semantic"]["max_duration_s"] == [1.0]


def test_the_speaking_rate_is_learnt_and_the_rest_is_split_by_it():
    text = " ".join(f"{sentence[:-1]}, and so on and on, for ever." for sentence in SENTENCES * 2)
    slow, fast = FakeModel(rate=9.0), FakeModel(rate=25.0)
    made = [generate_long(bark, text, seed=1) for bark in (slow, fast)]
    rates = [each.manifest["letters_per_s"] for each in made]
    assert rates == [pytest.approx(9.0, rel=0.1), pytest.approx(25.0, rel=0.1)]
    assert "".join(piece["text"] for each in made for piece in each.pieces).count("ever") == 48
    later = [max(p["end_s"] - p["begin_s"] for p in each.pieces[5:]) for each in made]
    assert later[0] < 12.5  # with the first estimate a slow voice would need 18 s
    assert [piece["characters"][1] for piece in made[0].pieces][-1] == len(text)


def test_subtitles_keep_their_times():
    from bark_jax.long.reading import parse_document

    content = "1\n00:00:01,500 --> 00:00:02,500\nhello there.\n\n2\n00:00:03,000 --> 00:00:04,250\n"
    document = parse_document(content + "how are\nyou today?\n", ".srt")
    made = generate_long(FakeModel(), document, settings=SINGLE)
    assert [piece["text"] for piece in made.pieces] == ["hello there.", "how are you today?"]
    assert [piece["shown_s"] for piece in made.pieces] == [[1.5, 2.5], [3.0, 4.25]]


def test_markdown_is_read_without_its_marks():
    from bark_jax.long.reading import parse_document

    content = (
        "# A *title*\n\nSome [words](x.html),\nand `more`.\n\n```\ncode\n```\n\n- one\n- two\n"
    )
    text = parse_document(content, ".md").text
    assert text == "A title\n\nSome words,\nand more.\n\none\n\ntwo"


@pytest.mark.parametrize("content", ["", "no subtitles"])
@pytest.mark.parametrize("suffix", [".srt", ".vtt"])
def test_files_that_hold_no_subtitles_are_refused(content, suffix):
    from bark_jax.long.reading import parse_document

    with pytest.raises(ValueError, match=f"x holds no {suffix} subtitles"):
        parse_document(content, suffix, "x")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"text": " "}, "text is empty"),
        ({"text": "…"}, "text holds nothing to say"),
        ({"text": "a \ud83d"}, "text is not valid Unicode"),
        ({"seed": -1}, "seed=-1"),
        ({"settings": {"mode": "x"}}, "settings.mode='x' is not allowed; want one of"),
        ({"settings": {"tries": 0}}, "settings.tries=0"),
        ({"settings": {"judge": "wurds"}}, "judge 'wurds' is not known"),
        ({"settings": {"speed": 1}}, "settings: .*speed"),
        ({"settings": "podcast"}, r"settings='podcast' is not one of \['notebook'\]"),
        ({"sampling": {"fine": {"temperature": -1}}}, "sampling.fine.temperature=-1"),
        ({"path": "x.aac"}, r"'x.aac' must end in .wav, .flac, .ogg, .opus, .mp3"),
        ({"path": "x.flac", "bits": 32}, "bits=32 is not of a .flac file; want 24 or 16"),
    ],
)
def test_bad_arguments_are_named(options, error):
    with pytest.raises(ValueError, match=error):
        made_of(FakeModel(), **options)


def test_the_notebooks_recipe_is_a_preset():
    bark = FakeModel({SENTENCES[0]: ["clipped"]})
    own = {"semantic": {"temperature": 0.1, "top_p": 0.9}, "fine": {"temperature": 0.1}}
    bark.sampling = SamplingConfig.of(own).over(BARK)
    made = generate_long(bark, TEXT, settings="notebook", sampling={"fine": {"temperature": 0.4}})
    assert [piece["text"] for piece in made.pieces] == SENTENCES
    semantic = made.manifest["sampling"]["semantic"]
    assert (semantic["temperature"], semantic["min_eos_p"], semantic["top_p"]) == (0.6, 0.05, 0.9)
    assert made.manifest["sampling"]["fine"]["temperature"] == 0.4
    assert bark.calls[0]["sampling"]["semantic"]["max_duration_s"] == [None]
    assert all(len(piece["tries"]) == 1 and piece["gain_db"] == 0 for piece in made.pieces)
    assert len(made.pieces[0]["tries"]) == 1
    gap_s = made.pieces[1]["begin_s"] - made.pieces[0]["end_s"]
    assert gap_s == pytest.approx(0.25, abs=2 / RATE)


def test_joined_pieces_overlap_where_there_is_no_pause():
    settings = LongSettings(pause_s=0.0, crossfade_s=0.1, trim=False, loudness_lufs=None)
    joiner = Joiner(100, settings)
    ones = np.ones(50, np.float32)
    parts = [joiner.append(finish(ones, 100, settings).audio, None)[0] for _ in range(3)]
    whole = np.concatenate([*parts, joiner.close()])
    assert len(whole) == 130  # two overlaps of ten samples
    np.testing.assert_allclose(whole[10:-10], 1.0, atol=1e-6)  # fades add up to one
    assert whole[0] == pytest.approx(0.05) and whole[-1] == pytest.approx(0.05)


def test_a_held_sound_is_no_repetition():
    rng = np.random.default_rng(0)
    said = rng.integers(0, 100, 60)
    assert repeats_itself(np.tile(said, 3), 50.0)
    assert not repeats_itself(np.tile(said, 2), 50.0)  # said twice may be meant
    assert not repeats_itself(rng.integers(0, 100, 200), 50.0)
    assert not repeats_itself(np.zeros(200, int), 50.0)
    assert not repeats_itself(np.zeros(0, int), 50.0)
