"""From recordings to records, on words of tones: right, resumable, and the same for any workers."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("grain", reason="needs the extra train")
pytest.importorskip("librosa", reason="needs the extra train")

from bark_jax.data.manifest import TokenSpec
from bark_jax.data.records import open_source
from bark_jax.pipeline import Bark
from bark_jax.preparation import prepare as prepare_module
from bark_jax.preparation.clip_encoder import plan_batches
from bark_jax.preparation.corpus import Utterance, read_phones
from bark_jax.preparation.prepare import ModelSource, PrepareSettings, prepare
from bark_jax.preparation.semantic_choice import SemanticSettings, choose_source
from bark_jax.preparation.semantic_features import FeatureConfig, n_tokens
from bark_jax.preparation.semantic_tokenizers import (
    KMeansTokenizer,
    Scaling,
    load_tokenizer,
    save_tokenizer,
)
from bark_jax.preparation.train_tokenizer import TokenizerSettings, train_tokenizer
from bark_jax.sources.untrained import untrained_config, vocabulary, write_random

ROOT = Path(__file__).parents[2]
RATE = 24_000
LETTERS = "abcd"
LETTER_S = 0.12
SILENCE_S = 0.3


def sing(word):
    t = np.arange(round(LETTER_S * RATE)) / RATE
    tones = [0.3 * np.sin(2 * np.pi * 300 * 2 ** LETTERS.index(letter) * t) for letter in word]
    return np.pad(np.concatenate(tones), round(SILENCE_S * RATE)).astype(np.float32)


def alignment(word):
    names = ["pau", *word, "pau"]
    durations = [SILENCE_S, *[LETTER_S] * len(word), SILENCE_S]
    ends = np.cumsum(durations)
    return " ".join(f"{name}:{end:.4f}" for name, end in zip(names, ends, strict=True))


def write_corpus(folder, n=24):
    """Words as wav files with phones and semantic arrays; and five rows that cannot be used."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n):
        word = "".join(rng.choice(list(LETTERS), rng.integers(2, 6)))
        audio = sing(word)
        soundfile.write(folder / f"{i}.wav", audio, RATE)
        np.save(folder / f"{i}.npy", np.arange(n_tokens(len(audio), RATE, LAYOUT.semantic_rate_hz)))
        row = {"audio": f"{i}.wav", "text": word, "speaker": "organ", "semantic": f"{i}.npy"}
        rows.append({**row, "phones": alignment(word)})
    (folder / "noise.wav").write_bytes(b"not a wav")
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    good = rows[0]
    rows[3:3] = [
        {**good, "audio": "noise.wav"},
        {**good, "audio": "silent.wav"},
        {**good, "audio": "absent.wav"},
        {**good, "id": "mute", "text": " "},
        {**good, "id": "greek", "text": "αβγ"},
    ]
    lines = [json.dumps(row) for row in rows] + ['{"audio": "x.wav"}']
    (folder / "corpus.jsonl").write_text("\n".join(lines))
    return folder / "corpus.jsonl"


CONFIG = untrained_config(len(vocabulary()))
LAYOUT = CONFIG.tokens
BAD = {"noise": "not audio", "silent": "silent", "absent": "not a file", "mute": "empty",
       "greek": r"outside the model's vocabulary: ['αβγ']", "line 30": "no 'text'"}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "model"
    codec = dataclasses.replace(CONFIG.codec, n_filters=2, n_lstm=1, latent_dim=8)
    write_random(folder, dataclasses.replace(CONFIG, codec=codec))
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus")


@pytest.fixture(scope="module", autouse=True)
def one_model(model):
    """Loaded once: a new one would compile the encoder anew."""
    bark = Bark.from_pretrained(model)
    patch = pytest.MonkeyPatch()
    patch.setattr(prepare_module.Bark, "from_pretrained", lambda source: bark)
    yield bark
    patch.undo()


@pytest.fixture(scope="module")
def settings(corpus, model):
    return PrepareSettings(
        manifest=str(corpus), out="", model=ModelSource(source=str(model)),
        semantic=SemanticSettings(kind="phones"), eval_share=0.1, chunk_rows=8, workers=0,
        batch_s=1.28,  # one clip at a time: one program to compile
    )  # fmt: skip


def run(settings, out, **changes):
    return prepare(dataclasses.replace(settings, out=str(out), **changes))


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "data"
    return out, run(settings, out)


def records(out):
    return {
        record.id: record
        for split in ("train", "eval")
        for record in open_source(out, split, with_audio=True)
    }


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_every_good_row_becomes_a_record(whole, one_model):
    out, manifest = whole
    made = records(out)
    assert set(made) == {str(i) for i in range(24)}
    for record in made.values():
        assert record.speaker == "organ"
        assert record.audio is not None
        # the letters and 0.1 s on both sides; loudness is measured over 0.04 s
        assert len(record.audio) / RATE == pytest.approx(
            LETTER_S * len(record.text) + 0.2, abs=0.05
        )
        np.testing.assert_array_equal(record.codes, one_model.encode(record.audio))
        assert list(record.text_ids) == one_model.runner.tokenizer.encode(record.text)
        assert len(record.semantic) == n_tokens(len(record.audio), RATE, LAYOUT.semantic_rate_hz)
    assert manifest.spec.semantic_vocab_size == 3 * 5
    manifest.spec.check_fits(TokenSpec.of(one_model.config, one_model.runner.tokenizer))


def test_bad_rows_are_listed_with_the_reason(whole):
    out, manifest = whole
    rows = [json.loads(line) for line in (out / "skipped.jsonl").read_text().splitlines()]
    assert {row["id"] for row in rows} == set(BAD)
    assert manifest.n_skipped == len(BAD)
    for row in rows:
        assert BAD[row["id"]] in row["reason"]


def test_phone_tokens_are_those_of_the_letters_that_sound(whole):
    phones = whole[1].settings["semantic"]["phones"]
    assert phones == ["a", "b", "c", "d", "pau"]
    for record in records(whole[0]).values():
        spoken = [phones[token // 3] for token in record.semantic]
        kept = [a for a, b in zip(spoken, [None, *spoken], strict=False) if a != b]
        merged = [a for a, b in zip(record.text, " " + record.text, strict=False) if a != b]
        assert kept == ["pau", *merged, "pau"]


def test_workers_make_no_difference(whole, settings, tmp_path):
    run(settings, tmp_path, workers=2)
    assert contents(tmp_path) == contents(whole[0])


def test_a_run_that_is_cut_off_goes_on_to_the_same_files(whole, settings, tmp_path, monkeypatch):
    real = prepare_module.ShardBuilder.finish

    def finish(builder, chunk, results):
        if chunk.index == 1:
            raise KeyboardInterrupt
        real(builder, chunk, results)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(prepare_module.ShardBuilder, "finish", finish)
        run(settings, tmp_path)
    assert not (tmp_path / "manifest.json").exists()
    run(settings, tmp_path)
    assert contents(tmp_path) == contents(whole[0])


def test_arrays_are_cut_to_what_was_kept_of_the_recording(settings, tmp_path):
    run(settings, tmp_path, semantic=SemanticSettings(kind="arrays"), keep_audio=False)
    source = open_source(tmp_path, "train")
    for record in source:
        first = round(float((SILENCE_S - 0.1) * LAYOUT.semantic_rate_hz))
        # trimming may move by a window of 0.04 s, and rounding by one token of 0.04 s
        assert abs(int(record.semantic[0]) - first) <= 2
        assert (np.diff(record.semantic) == 1).all()
    with pytest.raises(ValueError, match="holds no audio"):
        open_source(tmp_path, "train", with_audio=True)


def test_arrays_that_do_not_fit_are_skipped(settings, tmp_path):
    folder = tmp_path / "corpus"
    path = write_corpus(folder, n=8)
    np.save(folder / "0.npy", np.arange(5))
    np.save(folder / "1.npy", np.full(60, LAYOUT.semantic_vocab_size))
    np.save(folder / "2.npy", np.zeros((9, 2), np.int32))
    np.save(folder / "3.npy", np.array([{}]), allow_pickle=True)
    (folder / "4.npy").unlink()
    (folder / "5.npy").write_bytes(b"")
    np.savez(folder / "arrays.npz", a=np.arange(30))
    (folder / "arrays.npz").replace(folder / "6.npy")
    changes = {"manifest": str(path), "semantic": SemanticSettings(kind="arrays")}
    out = tmp_path / "out"
    assert run(settings, out, **changes).n_records("train") == 1
    skipped = {
        row["id"]: row["reason"]
        for row in map(json.loads, (out / "skipped.jsonl").read_text().splitlines())
    }
    assert "semantic has 5 tokens (0.20 s), the recording has sound up to" in skipped["0"]
    assert "want 0 … 71" in skipped["1"]
    assert "has shape (9, 2)" in skipped["2"]
    assert "is not an .npy file of numbers" in skipped["3"]
    assert "No such file" in skipped["4"]
    assert "is not an .npy file of numbers" in skipped["5"]
    assert "has shape None" in skipped["6"]


def test_kmeans_is_trained_on_the_corpus_first(settings, tmp_path, capsys):
    manifest = run(settings, tmp_path, semantic=SemanticSettings(kind="kmeans"))
    assert "training a semantic tokenizer on the corpus" in capsys.readouterr().err
    tokenizer = load_tokenizer(tmp_path / "semantic_tokenizer")
    assert manifest.spec.semantic_vocab_size == tokenizer.vocab_size <= 72
    for record in records(tmp_path).values():
        np.testing.assert_array_equal(record.semantic, tokenizer.encode(record.audio, RATE))
    again = tmp_path / "again"
    saved = SemanticSettings(kind="kmeans", tokenizer=str(tmp_path / "semantic_tokenizer"))
    run(settings, again, semantic=saved)
    assert records(again).keys() == records(tmp_path).keys()
    assert (again / "train-tokens-00000.array_record").read_bytes() == (
        tmp_path / "train-tokens-00000.array_record"
    ).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "magic"}, "semantic.kind='magic' is not one of"),
        ({"kind": "tokenizer"}, "needs semantic.tokenizer=DIR"),
        ({"kind": "arrays", "tokenizer": "x"}, "takes no semantic.tokenizer"),
        ({"kind": "kmeans", "train_s": 0}, "train_s=0"),
    ],
)
def test_wrong_choices_of_tokens_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        SemanticSettings(**change)


@pytest.mark.parametrize("kind", ["kmeans", "phones"])
def test_a_tokenizer_trained_apart_serves(settings, corpus, tmp_path, kind):
    asked = TokenizerSettings(
        manifest=str(corpus), out=str(tmp_path / "t"), kind=kind, rate_hz=25.0, vocab_size=20,
        workers=0, n_mfcc=12,
    )  # fmt: skip
    made, score = train_tokenizer(asked)
    # four tones and silence: easy, but that thirds cannot be heard
    assert score < 0.5 if kind == "kmeans" else score > 0.4
    semantic = SemanticSettings(kind="tokenizer", tokenizer=asked.out)
    manifest = run(settings, tmp_path / "data", semantic=semantic)
    assert manifest.spec.semantic_vocab_size == made.vocab_size
    for record in open_source(tmp_path / "data", "train", with_audio=True)[:3]:
        np.testing.assert_array_equal(record.semantic, made.encode(record.audio, RATE))
        if kind == "phones":
            heard = {made.phones[token // 3] for token in record.semantic}
            assert heard & set(record.text) and heard <= {*record.text, "pau"}
    with pytest.raises(FileExistsError, match="is there already"):
        train_tokenizer(asked)


def test_phones_cannot_be_learnt_from_a_corpus_without(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"audio": "none.wav", "text": "a"}')
    asked = TokenizerSettings(
        manifest=str(tmp_path / "c.jsonl"), out=str(tmp_path / "t"), kind="phones", workers=0
    )
    with pytest.raises(ValueError, match="there are no clips to train on"):
        train_tokenizer(asked)
    with pytest.raises(ValueError, match="kind='magic' is not one of"):
        dataclasses.replace(asked, kind="magic")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"semantic_rate_hz": LAYOUT.semantic_rate_hz * 2}, r"makes 25 tokens a second.* has 50"),
        ({"semantic_vocab_size": 3, "semantic_pad_token": 3}, r"makes 5 tokens; .* room for 3"),
    ],
)
def test_a_tokenizer_of_another_rate_or_size_is_refused(tmp_path, change, message):
    cfg = FeatureConfig(rate_hz=LAYOUT.semantic_rate_hz)
    zeros = np.zeros(cfg.n_features, np.float32)
    save_tokenizer(
        tmp_path / "t", KMeansTokenizer(cfg, Scaling(zeros, zeros), np.tile(zeros, (5, 1)))
    )
    asked = SemanticSettings(kind="tokenizer", tokenizer=str(tmp_path / "t"))
    source, _ = choose_source(asked, [], LAYOUT)
    assert source is not None and source.vocab_size == 5
    with pytest.raises(ValueError, match=message):
        choose_source(asked, [], dataclasses.replace(LAYOUT, **change))
    with pytest.raises(ValueError, match="is of kind 'kmeans', not 'phones'"):
        choose_source(dataclasses.replace(asked, kind="phones"), [], LAYOUT)


def test_phones_need_room_and_labels():
    asked = SemanticSettings(kind="phones")
    rows = [Utterance("a", Path("a"), "a", phones=read_phones("a:1 b:2"))]
    with pytest.raises(ValueError, match="2 phones make 6 tokens; the model has room for 5"):
        small = dataclasses.replace(LAYOUT, semantic_vocab_size=5, semantic_pad_token=5)
        choose_source(asked, rows, small)
    with pytest.raises(ValueError, match="no row of the manifest has 'phones'"):
        choose_source(asked, [], LAYOUT)
    with pytest.raises(ValueError, match="no row of the manifest has 'phones'"):
        choose_source(asked, [], LAYOUT, ("a", "b"))


def test_the_models_phones_decide_which_token_is_which():
    rows = [Utterance("a", Path("a"), "a", phones=read_phones("b:1 c:2"))]
    roomy = dataclasses.replace(LAYOUT, semantic_vocab_size=12, semantic_pad_token=12)
    asked = SemanticSettings(kind="phones")
    assert choose_source(asked, rows, roomy)[1]["phones"] == ["b", "c"]
    assert choose_source(asked, rows, roomy, ("a", "b", "c"))[1]["phones"] == ["a", "b", "c"]


def test_a_corpus_without_sound_is_an_error(settings, tmp_path):
    (tmp_path / "c.jsonl").write_text('{"audio": "none.wav", "text": "a", "phones": "a:1"}')
    with pytest.raises(
        ValueError, match=r"no record was made: 1 rows were skipped; none: .*not a file"
    ):
        run(settings, tmp_path / "out", manifest=str(tmp_path / "c.jsonl"))


def test_what_is_too_long_for_the_model_is_skipped(settings, tmp_path):
    soundfile.write(tmp_path / "long.wav", sing("ab" * 12), RATE)
    soundfile.write(tmp_path / "wordy.wav", sing("ab"), RATE)
    rows = [{"audio": "long.wav", "text": "a"}, {"audio": "wordy.wav", "text": "a" * 65}]
    rows = [{**row, "phones": "pau:9"} for row in rows]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(ValueError, match=r"long: it has 77 semantic tokens, the model makes 56; "
                       r"wordy: its text has 65 tokens, the model reads 64"):  # fmt: skip
        run(settings, tmp_path / "out", manifest=str(tmp_path / "c.jsonl"), eval_share=0.0)


def test_batches_have_few_shapes():
    lengths = [5, 30, 7, 12, 11, 3, 29]
    batches = plan_batches(lengths, bucket=10, most=40)
    assert sorted(row for batch in batches for row in batch) == list(range(7))
    assert batches == [[1], [6], [3, 4], [2, 0, 5]]


def test_settings_compose(tmp_path):
    hydra = pytest.importorskip("hydra", reason="needs the extra train")
    from bark_jax.programs.compose import from_hydra

    asked = [f"manifest={tmp_path}", f"out={tmp_path}", "model.source=m"]
    with hydra.initialize_config_dir(str(ROOT / "configs" / "data"), version_base="1.3"):
        for kind in ("arrays", "kmeans", "phones"):
            composed = from_hydra(
                PrepareSettings, hydra.compose("prepare_data", [*asked, f"semantic={kind}"])
            )
            assert composed == PrepareSettings(
                manifest=str(tmp_path), out=str(tmp_path), model=ModelSource(source="m"),
                semantic=SemanticSettings(kind=kind),
            )  # fmt: skip
        chosen = hydra.compose(
            "prepare_data", [*asked, "semantic=tokenizer", "semantic.tokenizer=t"]
        )
        assert from_hydra(PrepareSettings, chosen).semantic.tokenizer == "t"


def children(pid):
    """Processes that a process has started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in tasks for child in path.read_text().split()]


def is_running(pid):
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.expensive
def test_a_killed_run_goes_on_to_the_same_files(settings, corpus, model, tmp_path):
    """With SIGKILL, at several moments, through the script."""
    command = [
        sys.executable, str(ROOT / "scripts" / "prepare_data.py"), f"manifest={corpus}",
        f"model.source={model}", "semantic=kmeans", "eval_share=0.1", "chunk_rows=2",
        "batch_s=1.28", "workers=2",
    ]  # fmt: skip
    environment = {**os.environ, "BARK_JAX_COMPILE_CACHE": "off"}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, f"out={whole}"], check=True, env=environment)
    for n_notes in (1, 3, 6):
        process = subprocess.Popen([*command, f"out={killed}"], env=environment)
        while process.poll() is None and len(list(killed.glob("progress/*-*.json"))) < n_notes:
            time.sleep(0.005)
        workers = children(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 60
        while any(map(is_running, workers)):
            assert time.monotonic() < deadline, "workers outlive the run that started them"
            time.sleep(0.1)
    assert not (killed / "manifest.json").exists()
    subprocess.run([*command, f"out={killed}"], check=True, env=environment)
    assert contents(killed) == contents(whole)
