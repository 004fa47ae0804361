"""The recipe of the packaged model: its sentences, its corpus, its sizes, its steps."""

import dataclasses
import json
import random
import stat
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import soundfile
from hydra import compose, initialize_config_dir

from bark_jax.checkpoint import load_config, load_sampling, load_stage
from bark_jax.config import STAGES
from bark_jax.data.manifest import Manifest, TokenSpec, write_manifest
from bark_jax.data.records import Record, open_source, write_shards
from bark_jax.preparation.corpus import read_corpus
from bark_jax.preparation.models import ModelSource
from bark_jax.programs.compose import from_hydra
from bark_jax.text import Tokenizer
from bark_jax.training.tasks.make import make_task
from bark_jax.voices import Voice
from nano import (
    corpus,
    evaluation,
    labels,
    model,
    natural,
    packing,
    pronunciation,
    recipe,
    sentences,
)

ROOT = Path(__file__).parents[2]
SMALL = corpus.CorpusSettings(n_sentences=6, n_test=2, everyday_share=1.0)
# Half a second: 0.2 s of silence, a phone, 0.2 s of silence, as flite prints and writes them.
FLITE = f"""#!{sys.executable}
import sys, numpy, soundfile
rest = [a for a in sys.argv[1:] if a != "-psdur"]
args = dict(zip(rest[::2], rest[1::2]))
open(__file__ + ".log", "a").write(args["-voice"] + " " + args["-t"] + "\\n")
soundfile.write(args["-o"], numpy.full(8000, 0.25), 16000, subtype="PCM_16")
print("pau:0.2 aa:0.3 pau:0.5 ")
"""


@pytest.fixture
def flite(tmp_path, monkeypatch):
    """A stand-in for flite; the file that it lists its calls in."""
    program = tmp_path / "bin" / "flite"
    program.parent.mkdir()
    program.write_text(FLITE)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent))
    return program.with_name("flite.log")


LEXICON = {"call": ("k", "ao", "l"), "me": ("m", "iy"), "back": ("b", "ae", "k")}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return model.write_base(tmp_path_factory.mktemp("nano") / "base", corpus.VOICES, LEXICON)


# Sentences


def test_everyday_sentences_depend_on_the_seed_alone_and_can_be_read(base):
    rng = random.Random(1)
    drawn = [sentences.draw(rng) for _ in range(500)]
    assert drawn[:5] == [sentences.draw(again) for again in [random.Random(1)] for _ in range(5)]
    assert len(set(drawn)) > 400 and not any("{" in text for text in drawn)
    assert sum(any(c.isdigit() for c in text) for text in drawn) > 100
    tokenizer = Tokenizer.from_directory(base / "tokenizer")
    for text in drawn:
        assert tokenizer.unknown_id not in tokenizer.encode(text)


def test_known_words_are_phones_and_all_pieces_fit(base):
    tokenizer = Tokenizer.from_directory(base / "tokenizer")
    assert tokenizer.encode("Call ME, Back!") == tokenizer.encode("call me, back!")
    assert len(tokenizer.encode("call me back at 5")) == 3 + 2 + 3 + 2 + 4
    layout = model.nano_config().tokens
    n_tokens = corpus.CorpusSettings().max_duration_s * layout.semantic_rate_hz
    assert n_tokens < layout.max_semantic_tokens


def test_the_test_holds_back_200_sentences_half_of_them_with_words_of_their_own():
    texts = evaluation.read_texts(ROOT / "nano" / "unseen.txt")
    assert len(texts) == len(set(texts)) == 200
    has_held_out = [bool(natural.held_out().search(text.lower())) for text in texts]
    assert has_held_out == 100 * [False] + 100 * [True]
    templates = str((sentences.SLOTS, sentences.TEMPLATES, sentences.NUMBERS)).lower()
    assert not natural.held_out().search(templates)


def test_natural_sentences_are_plain_english_without_what_is_held_back(tmp_path, monkeypatch):
    (tmp_path / "words").write_text("The\nman\nsaw\nthat\nI\nit\ncalled\nmy\nmailbox\nkids\n")
    fortunes = tmp_path / "fortunes"
    fortunes.mkdir()
    (fortunes / "sayings").write_text(
        "The man saw it -- that I called it.\nI saw the\nkids!\n\t\t-- The man\n%\n"
        "The man saw my mailbox.\nThe MAN saw it.\nThe man saw 5 kids.\nMan saw.\n%\n"
        "The man saw xyz.\nI saw the kids!\n"
    )
    (fortunes / "sayings.dat").write_bytes(b"\xff")
    (fortunes / "perl").write_text("The man called it.")
    found = natural.natural_sentences(fortunes, tmp_path / "words")
    assert found == ["The man saw it, that I called it.", "I saw the kids!"]
    with pytest.raises(FileNotFoundError, match="apt-get install fortunes"):
        natural.natural_sentences(tmp_path / "none", tmp_path / "words")
    with pytest.raises(FileNotFoundError, match="apt-get install wamerican"):
        natural.natural_sentences(fortunes, tmp_path / "none")


# Pronunciation


def test_words_are_pronounced_once_and_one_by_one_where_flite_joins_them(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "flite"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\ntext = sys.argv[sys.argv.index('-t') + 1]\n"
        "words = text.replace('mister, ', 'mister ').split(', ')\n"
        "print('pau', ' pau '.join(' '.join(w.replace(' ', '')) for w in words), 'pau')\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setattr(pronunciation, "SHORTENED", ["mister", "o'clock"])
    words = {"cat", "the", "cat's", "abc-d", "Tom"}
    made = pronunciation.write_pronunciations(tmp_path / "lexicon.txt", words)
    assert set(made) == {"cat", "the", "mister", "o'clock"}
    assert made["cat"] == ("c", "a", "t") and made["mister"] == tuple("mister")
    program.unlink()
    again = pronunciation.write_pronunciations(tmp_path / "lexicon.txt", words)
    assert again == made


def test_a_share_of_the_words_is_left_out_but_no_common_one():
    words = {f"w{i}": ("w",) for i in range(1000)}
    common = {f"w{i}" for i in range(0, 1000, 2)}
    kept = pronunciation.without_some(words, common)
    assert common < set(kept) and kept == pronunciation.without_some(words, common)
    assert 50 < len(words) - len(kept) < 150  # a fifth of 500


# Labels


def test_labels_are_joined_to_every_length(base, tmp_path):
    rng = random.Random(0)
    rows = []
    for i in range(60):
        voice, end_s = corpus.VOICES[i % 2], rng.uniform(0.5, 3)
        ends = [("pau", 0.06), ("aa", end_s - 0.1), ("pau", end_s)]
        phones = [[corpus.own_phone(voice, name), end] for name, end in ends]
        text = "call me" if i % 3 else "Back!"
        rows.append({"id": str(i), "text": text, "speaker": voice, "phones": phones})
    path = tmp_path / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = labels.write_labels(path, base, tmp_path / "out", longest_s=5.0, rounds=2)
    assert labels.write_labels(path, base, tmp_path / "out", longest_s=5.0, rounds=2) == made
    records = [r for split in ("train", "eval") for r in open_source(tmp_path / "out", split)]
    lengths = np.array([len(record.semantic) for record in records])
    assert 60 < len(records) < 120 and lengths.max() <= 125 and lengths.min() < 60
    tokenizer = Tokenizer.from_directory(base / "tokenizer")
    names = model.phones_of(corpus.VOICES)
    n_rows = 0
    for record in records:
        np.testing.assert_array_equal(record.text_ids, tokenizer.encode(record.text))
        spoken = evaluation.spoken_phones(record.semantic, names)
        n_rows += len(spoken)
        n_texts = record.text.count("call me") + record.text.count("Back!")
        assert spoken == n_texts * ["aa"]
        speakers = {names[token // 3].partition("/")[0] for token in record.semantic}
        assert speakers == {record.speaker}
    assert n_rows == 2 * 60


# Corpus


def test_corpus_is_spoken_once_trimmed_and_readable(tmp_path, flite):
    manifest = corpus.write_corpus(tmp_path / "corpus", SMALL)
    calls = flite.read_text().splitlines()
    assert len(calls) == 6 and {call.split()[0] for call in calls} == {"rms", "slt"}
    rows = read_corpus(manifest)
    assert not rows.skipped and not rows.unused_fields and len(rows.utterances) == 6
    for utterance in rows.utterances:
        audio, rate = soundfile.read(utterance.audio)
        duration_s = corpus.LEAD_S + 0.1 + corpus.TAIL_S
        assert len(audio) / rate == pytest.approx(duration_s, abs=1 / rate)
        assert {p.name.partition("/")[0] for p in utterance.phones} == {utterance.speaker}
        ends = [phone.end_s for phone in utterance.phones]
        assert ends == pytest.approx([corpus.LEAD_S, corpus.LEAD_S + 0.1, duration_s], abs=1e-4)
    lines = (tmp_path / "corpus" / "test.jsonl").read_text().splitlines()
    held_out = {json.loads(line)["text"] for line in lines}
    assert len(held_out) == 2 and not held_out & {u.text for u in rows.utterances}

    before = manifest.read_bytes()
    assert corpus.write_corpus(tmp_path / "corpus", SMALL).read_bytes() == before
    manifest.unlink()  # as if killed before the end: what is spoken is kept
    assert corpus.write_corpus(tmp_path / "corpus", SMALL).read_bytes() == before
    assert flite.read_text().splitlines() == calls


def test_corpus_leaves_out_what_is_too_long(tmp_path, flite):
    settings = dataclasses.replace(SMALL, max_duration_s=0.2)
    assert corpus.write_corpus(tmp_path / "corpus", settings).read_text() == ""


def test_corpus_needs_flite(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="flite is not installed: apt-get install flite"):
        corpus.write_corpus(tmp_path / "corpus", SMALL)


def test_corpus_settings_are_checked(monkeypatch):
    with pytest.raises(ValueError, match="want at least one voice"):
        corpus.CorpusSettings(voices=())
    with pytest.raises(ValueError, match=r"everyday_share=1\.5 is not in 0 … 1"):
        corpus.CorpusSettings(everyday_share=1.5)
    for name in ("TEMPLATES", "NUMBERS"):
        monkeypatch.setattr(sentences, name, ("see {me}",))
    few = len(sentences.SLOTS["me"])
    settings = dataclasses.replace(SMALL, n_sentences=few, n_test=0)
    assert len(list(corpus._different(settings))) == few
    with pytest.raises(
        ValueError, match=rf"={few} \+ n_test=1 are wanted, and the templates give {few}"
    ):
        list(corpus._different(dataclasses.replace(settings, n_test=1)))


def test_corpus_of_given_texts(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("Bring me 2 guitars!\n\nbring me two guitars\nWhere is it?\n" + "long " * 40)
    settings = corpus.CorpusSettings(voices=("rms",), texts=str(path), n_sentences=2, n_test=0)
    assert list(corpus._different(settings)) == ["Bring me 2 guitars!", "Where is it?"]
    with pytest.raises(ValueError, match=r"lines\.txt give 2 different ones"):
        list(corpus._different(dataclasses.replace(settings, n_sentences=3)))
    with pytest.raises(FileNotFoundError, match="is not a file"):
        list(corpus._different(dataclasses.replace(settings, texts=str(tmp_path / "none"))))


# Packing


@pytest.fixture(scope="module")
def packed(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    exports = dict.fromkeys(STAGES, base)
    packing.assemble(folder / "model", exports, {"recipe": "a test"}, LEXICON)
    return folder / "model"


def test_assembled_model_is_small_and_rounded(base, packed):
    assert load_config(packed) == load_config(base)
    assert load_sampling(packed).plain() == {"fine": {}, **model.SAMPLING}
    n_bytes = sum(path.stat().st_size for path in packed.rglob("*") if path.is_file())
    assert n_bytes < packing.MOST_BYTES
    whole, small = load_stage(base, "fine"), load_stage(packed, "fine")
    assert small["ln_f"]["weight"].dtype == jnp.bfloat16
    rounded = np.asarray(whole["ln_f"]["weight"].astype(jnp.bfloat16))
    np.testing.assert_array_equal(np.asarray(small["ln_f"]["weight"]), rounded)
    codec, packed_codec = load_stage(base, "codec"), load_stage(packed, "codec")
    assert packed_codec["decoder"]["last"]["weight"].dtype == jnp.bfloat16
    embed_QVL = packed_codec["quantizer"]["embed"]
    assert embed_QVL.dtype == jnp.float32
    np.testing.assert_array_equal(embed_QVL[:2], codec["quantizer"]["embed"][:2])
    assert not np.asarray(embed_QVL[2:]).any()  # what the fine stage cannot predict is silent
    tokenizer = Tokenizer.from_directory(packed / "tokenizer")
    assert tokenizer.settings.spells_out and tokenizer.lexicon == LEXICON


def test_voices_are_the_chosen_recordings(packed, tmp_path):
    config = load_config(packed)
    rng = np.random.default_rng(0)

    def record(name: str, speaker: str, n_tokens: int) -> Record:
        semantic = rng.integers(0, config.tokens.semantic_vocab_size, n_tokens)
        codes = rng.integers(0, model.CODEBOOK_SIZE, (4, 2 * n_tokens + 1))
        return Record(name, "x", speaker, np.arange(3), semantic, codes)

    records = [record("a", "rms", 20), record("b", "rms", 50), record("c", "slt", 60)]
    tokenizer = Tokenizer.from_directory(packed / "tokenizer")
    write_manifest(
        tmp_path,
        Manifest(
            spec=TokenSpec.of(config, tokenizer),
            settings={},
            counts={},
            n_skipped=0,
            shards=write_shards(tmp_path, "train", 0, records),
        ),
    )
    paths = packing.add_voices(packed, tmp_path, {"slt": "c", "rms": "b"})
    assert [path.stem for path in paths] == ["rms", "slt"]
    with pytest.raises(ValueError, match=r"has no training record \['d'\]"):
        packing.add_voices(packed, tmp_path, {"rms": "d"})
    voice = Voice.load(paths[0], config.tokens)
    np.testing.assert_array_equal(voice.semantic, records[1].semantic[-16:])
    np.testing.assert_array_equal(voice.fine, records[1].codes[:, 68:100])


def test_stages_must_be_of_one_model(base, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    config = json.loads((base / "config.json").read_text())
    config["fine"]["n_layer"] = 1
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="different model sizes"):
        packing.assemble(tmp_path / "m", {**dict.fromkeys(STAGES, base), "fine": other}, {}, {})


def test_package_takes_no_large_model(packed, tmp_path, monkeypatch):
    assert packing.install(packed, tmp_path / "package") < packing.MOST_BYTES
    assert load_config(tmp_path / "package") == load_config(packed)
    monkeypatch.setattr(packing, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="the package takes 1000"):
        packing.install(packed, tmp_path / "package")


# Recipe and evaluation


def composed(name: str, *overrides: str):
    with initialize_config_dir(str(ROOT / "configs" / "nano"), version_base="1.3"):
        return compose(name, list(overrides))


def test_recipe_goes_through_its_steps_once(tmp_path, monkeypatch):
    settings = from_hydra(recipe.RecipeSettings, composed("train_nano", f"out={tmp_path}"))
    calls: list[tuple[str, dict[str, str]]] = []

    def script(name: str, overrides: list[str]) -> None:
        given = dict(each.split("=", 1) for each in overrides)
        calls.append((name, given))
        out = Path(given["out"])
        done = {"prepare_data": "manifest.json", "evaluate": "evaluation.json"}.get(name)
        path = out / done if done else out / "export" / "config.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    monkeypatch.setattr(recipe, "_script", script)
    monkeypatch.setattr(recipe, "write_corpus", lambda path, _: path / "manifest.jsonl")
    monkeypatch.setattr(recipe, "write_base", lambda path, *_: path)
    monkeypatch.setattr(recipe, "assemble", lambda path, *_: path)
    monkeypatch.setattr(recipe, "english_words", frozenset)
    monkeypatch.setattr(recipe, "common_words", lambda _: set())
    monkeypatch.setattr(recipe, "write_pronunciations", lambda *_: LEXICON)
    monkeypatch.setattr(recipe, "learn_letters", lambda *_: None)
    joined = []
    monkeypatch.setattr(
        recipe, "write_labels", lambda _, __, out, **kw: joined.append((out.name, kw["longest_s"]))
    )
    monkeypatch.setattr(recipe, "origin", lambda *_: {})
    for name in ("add_voices", "draw_curves", "draw_spectrograms"):
        monkeypatch.setattr(recipe, name, lambda *_: None)
    recipe.run(settings)
    steps = [(name, Path(given["out"]).name) for name, given in calls]
    assert steps[0] == ("prepare_data", "recordings")
    assert joined == [("short", 4.96), ("long", 9.96)]
    assert set(steps[1:3]) == {("finetune", "codec"), ("finetune", "reading")}
    assert steps[3] == ("prepare_data", "data")
    later = ("coarse", "semantic", "decoder", "fine")
    assert set(steps[4:8]) == {("finetune", name) for name in later}
    assert steps[8][0] == "evaluate" and len(steps) == 9
    assert calls[3][1]["model.source"] == str(tmp_path / "codec" / "export")
    given = {Path(given["out"]).name: given for name, given in calls if name == "finetune"}
    reading, semantic = given["reading"], given["semantic"]
    assert reading["max_minutes"] == str(settings.minutes["reading"])
    assert reading["+task"].startswith("{max_tokens: 125") and reading["fresh"] == "true"
    assert semantic["model.source"] == str(tmp_path / "reading" / "export")
    assert (semantic["stage"], semantic["fresh"]) == ("semantic", "false")
    assert semantic["data"] == str(tmp_path / "long")
    decoder = given["decoder"]
    assert (decoder["stage"], decoder["fresh"]) == ("codec", "false")
    assert "decoder_only: true" in decoder["+task"]
    recipe.run(settings)
    assert len(calls) == 9


def test_recipe_names_what_failed():
    with pytest.raises(RuntimeError, match=r"scripts/prepare_data\.py failed"):
        recipe._script("prepare_data", ["--no-such-flag"])


@pytest.mark.parametrize("value, text", [
    (None, "null"), (True, "true"), (1.0, "1.0"), ("a", "a"), ({"a": {"b": 1}}, "{a: {b: 1}}"),
])  # fmt: skip
def test_settings_become_overrides(value, text):
    assert recipe._value(value) == text


def test_finetune_takes_the_settings_of_every_stage():
    """What the recipe hands on has a place there."""
    from bark_jax.training.run.settings import FinetuneSettings

    nano = from_hydra(recipe.RecipeSettings, composed("train_nano", "out=x"))
    stages = {training.name: training.stage for training in (*recipe.FIRST, *recipe.SECOND)}
    assert set(recipe.SOURCES.values()) < set(stages)
    for name, chosen in nano.train.items():
        stage = stages[name]
        overrides = [f"{name}={recipe._value(value)}" for name, value in chosen.items()]
        fixed = [f"stage={stage}", "data=d", "model.source=m", "out=o"]
        fixed += ["steps=null", "max_minutes=1"]
        with initialize_config_dir(str(ROOT / "configs" / "train"), version_base="1.3"):
            settings = from_hydra(FinetuneSettings, compose("finetune", fixed + overrides))
        recipe_task = make_task(stage, model.nano_config(), **settings.task)
        assert recipe_task.stage == stage


def test_evaluation_refuses_what_it_cannot_compare(tmp_path):
    chosen = composed("evaluate", "model.source=nano", "voices=[rms]", "links=true")
    settings = from_hydra(evaluation.EvaluationSettings, chosen)
    assert (settings.model.source, settings.voices, settings.links) == ("nano", ("rms",), True)
    assert settings.samplings["greedy"] == evaluation.GREEDY
    with pytest.raises(FileNotFoundError, match="is not a file"):
        evaluation.evaluate(dataclasses.replace(settings, texts=str(tmp_path / "none.txt")))
    with pytest.raises(ValueError, match="has 24000 samples per second"):
        other = {"model": ModelSource(source="untrained"), "texts": str(ROOT / "nano/unseen.txt")}
        evaluation.evaluate(dataclasses.replace(settings, **other))
    with pytest.raises(ValueError, match="want at least one of each"):
        evaluation.EvaluationSettings(n_texts=0)


def test_tokens_are_read_as_phones():
    """A phone again with its first third is another one; a lost third is none."""
    names = model.phones_of(["rms"])
    first = {name.removeprefix("rms/"): 3 * i for i, name in enumerate(names)}
    tokens = [first["pau"], first["s"], first["s"] + 2, first["s"], first["iy"] + 1, first["pau"]]
    assert evaluation.spoken_phones(np.array(tokens), names) == ["s", "s", "iy"]
    assert evaluation.spoken_phones(np.array([], int), names) == []


def says_digits(audio, sample_rate):
    return f"It's $4.50 for {len(audio) // sample_rate}."


def test_what_is_heard_is_spelt_out_as_what_was_meant():
    heard = evaluation.listen((f"{__name__}:says_digits", np.zeros(corpus.SAMPLE_RATE)))
    assert heard == "It's four dollars and fifty cents for one."
    assert evaluation.listen(("pocketsphinx", np.zeros(0))) == ""


def test_table_shows_every_row():
    row = {"speaker": "model", "voice": "rms", "sampling": "greedy", "wer": 0.125}
    rows = [
        {**row, "length_ratio": 1.05, "pitch_hz": 101.4, "distance_db": {"rms": 1.0, "slt": 5.06}},
        {**row, "voice": "none", "length_ratio": None, "pitch_hz": None, "distance_db": {}},
    ]
    phones = [{"voice": "rms", "sampling": "greedy", "phone_errors": 0.031}]
    lines = evaluation.render({"rows": rows, "semantic": phones}).splitlines()
    assert lines[2:] == [
        "| model | rms | greedy | 12.5 % | 1.05 | 101 | rms 1.0, slt 5.1 |",
        "| model | none | greedy | 12.5 % |  |  |  |",
        "| model, phones of its semantic tokens | rms | greedy | 3.1 % | | | |",
    ]


def test_timbre_is_of_the_voice_and_not_of_its_loudness_or_pauses():
    rng = np.random.default_rng(0)
    hiss = rng.normal(0, 0.1, 16_000).astype(np.float32)
    dull = np.convolve(hiss, np.full(8, 1 / 8), "same").astype(np.float32)
    paused = np.concatenate([hiss, np.zeros(8_000, np.float32)])
    same = evaluation.timbre([hiss])
    assert same.mean() == pytest.approx(0, abs=1e-4)
    np.testing.assert_allclose(evaluation.timbre([paused, 0.1 * hiss]), same, atol=1)  # its edge
    assert np.abs(evaluation.timbre([dull]) - same).max() > 10
