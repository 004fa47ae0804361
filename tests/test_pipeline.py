"""The whole chain on a tiny model of another layout: rows, seeds, offload, files, bad input.

Against the original: parity/test_pipeline_parity.py.
"""

import contextlib
import dataclasses
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

from bark_jax import __version__
from bark_jax.audio_files import FORMATS
from bark_jax.config import STAGES
from bark_jax.generation import Generation
from bark_jax.pipeline import Bark
from bark_jax.runtime.execution import Execution
from bark_jax.sampling_config import BARK, SamplingConfig, SemanticSampling
from bark_jax.sources.description import _merge_configs
from bark_jax.stages import runner, stream
from bark_jax.stages.checks import check_audio
from tests import tiny

L = tiny.LAYOUT


@pytest.fixture(scope="module")
def bark():
    return tiny.make_bark()


def check_equal(got: Generation, want: Generation) -> None:
    """Tokens bit for bit; samples up to the rounding of another batch shape."""
    for name in ("semantic", "coarse", "fine"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name), err_msg=name)
    np.testing.assert_allclose(got.audio, want.audio, rtol=1e-5, atol=1e-5)
    assert (got.text, got.seed, got.finish_reason) == (want.text, want.seed, want.finish_reason)


# Eight rows that differ in everything, and the end that each reaches.
ROWS = {
    "text": ["hello", "a b c", "the quick brown fox jumps over it", "x", "yes", "no", "hi", "why"],
    "voice": [None, tiny.make_voice(30), None, tiny.make_voice(7, 1), None, None, None, None],
    "seed": [3, 2**64 - 1, 4, 1, 5, 9, 2, 6],
}
SEMANTIC = {
    "temperature": [0.7, 1.0, 0.0, 0.7, 1.5, 0.7, 0.9, 0.7],
    "top_k": [None, None, 5, None, None, 3, None, 20],
    "top_p": [None, 0.5, None, 0.9, None, None, None, 0.95],
    "min_eos_p": [0.2, None, 0.05, None, None, 0.2, 0.0, 0.5],
    "max_duration_s": [None, 1.0, None, 0.5, 2.5, None, None, 3.0],
    "allow_early_stop": [True, False, False, True, False, True, True, False],
}
SAMPLING = {
    "semantic": SEMANTIC,
    "coarse": {"temperature": [0.7, 0.5, 0.0, 1.0, 0.7, 0.7, 0.7, 2.0], "top_k": [None, 4] * 4},
    "fine": {"temperature": [0.5, 0.0, 0.2, 0.5, 1.0, 0.5, 0.5, 0.7]},
}


def row_of(values, i):
    return {name: each[i] for name, each in values.items()}


@pytest.fixture(scope="module")
def batch(bark) -> list[Generation]:
    return bark.generate(ROWS["text"], voice=ROWS["voice"], seed=ROWS["seed"], sampling=SAMPLING)


def test_the_batch_has_every_kind_of_end(batch):
    assert {row.finish_reason for row in batch} == {"eos", "max_duration", "max_tokens"}
    lengths = [len(row.semantic) for row in batch]
    assert 0 in lengths, "a row whose first token is the end"
    assert len(set(lengths)) > 4
    windows = [row.fine.shape[1] > L.fine_window for row in batch]
    assert any(windows) and not all(windows)


@pytest.mark.parametrize("i", range(8))
def test_rows_of_a_batch_give_their_solo_result(bark, batch, i):
    sampling = {stage: row_of(values, i) for stage, values in SAMPLING.items()}
    check_equal(bark.generate(**row_of(ROWS, i), sampling=sampling), batch[i])


def test_shapes_and_ranges(batch):
    rate = L.coarse_rate_hz / L.semantic_rate_hz
    for row in batch:
        n_frames = int(len(row.semantic) * rate)
        assert row.coarse.shape == (L.n_coarse_codebooks, n_frames)
        assert row.fine.shape == (L.n_fine_codebooks, n_frames)
        assert row.audio.shape == (n_frames * tiny.CONFIG.codec.hop_length,)
        assert row.audio.dtype == np.float32
        assert np.isfinite(row.audio).all()
        assert row.sample_rate == 200
        assert row.duration_s == len(row.audio) / 200
        np.testing.assert_array_equal(row.fine[: L.n_coarse_codebooks], row.coarse)
        for tokens, limit in ((row.semantic, L.semantic_vocab_size), (row.fine, L.codebook_size)):
            assert tokens.dtype == np.int32
            assert tokens.size == 0 or (0 <= tokens.min() and tokens.max() < limit)
        assert row.timings.keys() == set(STAGES)


def stage_by_stage(bark) -> list[dict[str, np.ndarray]]:
    """`ROWS` through the four stage methods, each fed with what the one before gave."""
    rows: list[dict[str, np.ndarray]] = [
        {"semantic": tokens}
        for tokens in bark.semantic(
            ROWS["text"], voice=ROWS["voice"], seed=ROWS["seed"], sampling=SAMPLING
        )
    ]
    spoken = [i for i, row in enumerate(rows) if len(row["semantic"])]

    def take(values):
        return [values[i] for i in spoken]

    options = {
        "voice": take(ROWS["voice"]),
        "seed": take(ROWS["seed"]),
        "sampling": {
            stage: {name: take(values) for name, values in fields.items()}
            for stage, fields in SAMPLING.items()
        },
    }
    coarse = bark.coarse([rows[i]["semantic"] for i in spoken], **options)
    fine = bark.fine(coarse, **options)
    audio = bark.decode(fine)
    for k, i in enumerate(spoken):
        rows[i] |= {"coarse": coarse[k], "fine": fine[k], "audio": audio[k]}
    return rows


def test_one_call_is_the_stages_in_turn(bark, batch):
    for row, want in zip(stage_by_stage(bark), batch, strict=True):
        np.testing.assert_array_equal(row["semantic"], want.semantic)
        if len(want.semantic):  # a row without tokens goes no further by itself
            np.testing.assert_array_equal(row["coarse"], want.coarse)
            np.testing.assert_array_equal(row["fine"], want.fine)
            np.testing.assert_allclose(row["audio"], want.audio, rtol=1e-5, atol=1e-5)


def test_one_row_is_no_list_and_a_list_of_one_is(bark):
    one = bark.generate("hello", seed=3)
    (same,) = bark.generate(["hello"], seed=3)
    check_equal(same, one)
    assert isinstance(bark.semantic("hello"), np.ndarray)
    assert isinstance(bark.semantic("hello", seed=[0]), list)


def test_same_seed_same_result_and_another_differs(bark):
    first, again, other = (bark.generate("hello", seed=seed) for seed in (3, 3, 8))
    check_equal(again, first)
    assert any(
        getattr(first, name).shape != getattr(other, name).shape
        or (getattr(first, name) != getattr(other, name)).any()
        for name in ("semantic", "coarse", "fine")
    )


def test_stages_draw_their_own_noise(bark):
    """One seed for all of them, and yet the fine stage does not repeat the coarse stage's draws."""
    tokens = np.arange(20)
    coarse = [bark.coarse(tokens, seed=seed) for seed in (1, 2)]
    assert (coarse[0] != coarse[1]).any()
    fine = [bark.fine(coarse[0], seed=seed) for seed in (1, 2)]
    assert (fine[0][L.n_coarse_codebooks :] != fine[1][L.n_coarse_codebooks :]).any()


PROGRAM = """
import numpy as np, sys
from tests import tiny
row = tiny.make_bark().generate("hello", seed=3)
np.savez(sys.argv[1], semantic=row.semantic, coarse=row.coarse, fine=row.fine)
"""


def test_another_process_gives_the_same(bark, tmp_path):
    out = tmp_path / "out.npz"
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", PROGRAM, str(out)], cwd=root, check=True, timeout=300)
    here = bark.generate("hello", seed=3)
    with np.load(out) as there:
        for name in ("semantic", "coarse", "fine"):
            np.testing.assert_array_equal(there[name], getattr(here, name))


def test_new_sampling_values_reuse_every_program(bark, compilations):
    options = {"max_duration_s": 2.0, "allow_early_stop": False}
    bark.generate("hello", sampling={"semantic": options})
    before = compilations()
    for temperature, top_k, top_p in ((0, None, None), (1, 3, None), (0.3, None, 0.5)):
        cut = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        sampling = {
            "semantic": {**options, **cut},
            "coarse": cut,
            "fine": {"temperature": temperature},
        }
        bark.generate("other", seed=7, sampling=sampling)
    assert compilations() == before


def test_progress_changes_nothing(bark, batch, monkeypatch):
    """With a bar the loops come back every few steps; the tokens are those without."""
    seen: dict[str, list[int]] = {}

    @contextlib.contextmanager
    def watched(name, total, wanted):
        assert wanted
        yield seen.setdefault(name, []).append
        assert seen[name][-1] <= total

    monkeypatch.setattr(runner, "stage_bar", watched)
    rows = bark.generate(
        ROWS["text"], voice=ROWS["voice"], seed=ROWS["seed"], sampling=SAMPLING, progress=True
    )
    for got, want in zip(rows, batch, strict=True):
        check_equal(got, want)
    assert seen.keys() == {"semantic", "coarse", "fine"}
    for counts in seen.values():
        assert len(counts) > 1
        assert counts == sorted(counts)


def test_no_bar_without_a_terminal(bark, capsys):
    bark.generate("hello", seed=3, progress=True)
    assert capsys.readouterr().err == ""


def test_a_stream_gives_every_row_its_solo_result(bark, monkeypatch, capsys):
    texts = [f"{'ab' * (i % 4)} c" for i in range(7)]
    seeds = list(range(20, 27))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    rows = dict(bark.stream(texts, seed=seeds, batch_rows=2, progress=True))
    assert "7/7" in capsys.readouterr().err
    assert sorted(rows) == list(range(7))
    for i in range(7):
        check_equal(rows[i], bark.generate(texts[i], seed=seeds[i]))
    with pytest.raises(ValueError, match="batch_rows=0 is not allowed; want a whole number >= 1"):
        bark.stream(texts, batch_rows=0)


@pytest.mark.parametrize("platform", ["gpu", "tpu"])
def test_choices_for_accelerators_give_the_same_tokens(batch, platform):
    """Layout of the cache, steps in blocks of 16, fine rows together; computed on this CPU."""
    other = tiny.make_bark(execution=tiny.execution(platform, compiler_options=()))
    for row, want in zip(stage_by_stage(other), batch, strict=True):
        np.testing.assert_array_equal(row["semantic"], want.semantic)
        if len(want.semantic):
            np.testing.assert_array_equal(row["coarse"], want.coarse)
            np.testing.assert_array_equal(row["fine"], want.fine)


def test_bfloat16_speaks():
    """Other tokens than float32's; they are in range, and the same again."""
    half = tiny.make_bark(execution=Execution.on("cpu", "bfloat16"))
    short = {"semantic": {"max_duration_s": 1.2}}
    row, again = (half.generate("hello", seed=3, sampling=short) for _ in range(2))
    check_equal(again, row)
    assert 0 < row.fine.shape[1]
    assert row.fine.max() < L.codebook_size
    assert row.audio.dtype == np.float32


# -- offload ---------------------------------------------------------------------------------------


def leaves_on_device(params) -> list[jax.Array]:
    return [leaf for leaf in jax.tree.leaves(params) if not leaf.is_deleted()]


TEXTS, SEEDS = ["hello", "why", "no"], [3, 6, 2]


@pytest.fixture(scope="module")
def resident(bark) -> list[Generation]:
    """What the same calls give with all parameters on the device."""
    return [bark.generate(text, seed=seed) for text, seed in zip(TEXTS, SEEDS, strict=True)]


@pytest.fixture
def placed(monkeypatch, resident) -> dict[str, list]:
    """Stage → what its function was given; asserts that no other stage was on the device then."""
    seen: dict[str, list] = {}
    homes = [
        (runner.semantic_stage, "generate_semantic", "semantic"),
        (runner.coarse_stage, "generate_coarse", "coarse"),
        (runner.fine_stage, "generate_fine", "fine"),
        (runner.codec_stage, "decode_rows", "codec"),
        (runner, "stream_semantic", "semantic"),
    ]

    def watch(run, stage):
        def watched(params, *args, **kwargs):
            for other in seen.keys() - {stage}:
                assert not leaves_on_device(seen[other]), f"{other} is there while {stage} runs"
            seen.setdefault(stage, []).append(params)
            assert leaves_on_device(params)
            return run(params, *args, **kwargs)

        return watched

    for home, name, stage in homes:
        monkeypatch.setattr(home, name, watch(getattr(home, name), stage))
    return seen


def test_offload_keeps_one_stage_on_the_device(placed, resident):
    offloaded = tiny.make_bark(offload=True)
    for _ in range(2):
        check_equal(offloaded.generate("hello", seed=3), resident[0])
        assert placed.keys() == set(STAGES)
        assert not leaves_on_device(placed), "all parameters rest on the host afterwards"


def test_offload_loads_parameters_once(monkeypatch):
    offloaded = tiny.make_bark(offload=True)
    loads = []
    stage = offloaded.runner.params["semantic"]
    monkeypatch.setattr(stage, "load", lambda load=stage.load: loads.append(1) or load())
    for _ in range(2):
        offloaded.semantic("hello")
    assert loads == [1]


def test_offload_frees_the_device_when_a_stage_fails(placed):
    offloaded = tiny.make_bark(offload=True)
    with pytest.raises(AssertionError):
        with offloaded.runner.params["fine"].on_device() as params:
            raise AssertionError
    assert not leaves_on_device(params)


def test_offload_streams(placed, resident, monkeypatch):
    """So many rows that the first are done while others still wait for the semantic stage."""
    monkeypatch.setattr(stream, "OFFLOADED_PART", 2)
    offloaded = tiny.make_bark(offload=True)
    rows = dict(offloaded.stream(TEXTS * 3, seed=SEEDS * 3, batch_rows=2))
    assert not leaves_on_device(placed)
    for i, want in enumerate(resident * 3):
        check_equal(rows[i], want)


# -- results ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spoken(batch) -> Generation:
    return batch[0]


def test_equal_results_are_equal_files(spoken, tmp_path, monkeypatch):
    """Byte by byte, whenever they are written."""
    for name in ("a.wav", "b.WAV"):
        spoken.save(tmp_path / name)
        time.sleep(1.1)  # libsndfile notes the second in which a file was written, if it is let
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.WAV").read_bytes()
    monkeypatch.setenv("HOME", str(tmp_path))
    spoken.save("~/c.wav")
    assert (tmp_path / "c.wav").is_file()


def test_reprs_are_one_line_with_what_matters(bark, spoken):
    assert repr(bark) == (
        "Bark(semantic 2 x 12, coarse 2 x 18, fine 1 x 14, 200 Hz, float32 on cpu)"
    )
    assert "\n" not in repr(spoken) and len(repr(spoken)) < 200
    assert f"{spoken.duration_s:.2f} s at 200 Hz" in repr(spoken)
    assert f"seed={spoken.seed}" in repr(spoken)


def test_save_writes_audio_and_how_to_make_it_again(bark, batch, tmp_path):
    generation = batch[1]
    path = tmp_path / "out.wav"
    generation.save(path)
    with soundfile.SoundFile(path) as file:
        assert (file.samplerate, file.channels, file.subtype) == (200, 1, "FLOAT")
        metadata = json.loads(file.comment)
        np.testing.assert_array_equal(file.read(dtype="float32"), generation.audio)
    assert metadata["text"] == "a b c"
    assert metadata["seed"] == 2**64 - 1
    assert metadata["voice"] == "dict"
    assert metadata["bark_jax"] == __version__
    assert metadata["sampling"]["semantic"]["top_p"] == 0.5
    again = bark.generate(
        metadata["text"],
        voice=ROWS["voice"][1],
        seed=metadata["seed"],
        sampling=metadata["sampling"],
    )
    check_equal(again, generation)


@pytest.mark.parametrize("text", ["naïve 你好 ♪ “quoted”\n\\", "你" * 400])
def test_text_of_any_script_survives_in_the_file(spoken, tmp_path, text):
    dataclasses.replace(spoken, text=text).save(tmp_path / "out.wav")
    with soundfile.SoundFile(tmp_path / "out.wav") as file:
        assert json.loads(file.comment)["text"] == text


@pytest.mark.parametrize("text", ["long " * 500, "你" * 800, '"\\\n' * 900])
def test_a_text_too_long_for_the_file_is_cut_and_the_rest_kept(spoken, tmp_path, text):
    """libsndfile would give the whole comment back as empty."""
    dataclasses.replace(spoken, text=text).save(tmp_path / "out.wav")
    with soundfile.SoundFile(tmp_path / "out.wav") as file:
        metadata = json.loads(file.comment)
    start, end = metadata["text"][:-1], metadata["text"][-1]
    assert end == "…"
    assert text.startswith(start)
    assert len(file_comment_bytes(metadata)) <= FORMATS[".wav"].comment_bytes
    assert metadata["seed"] == spoken.seed


def file_comment_bytes(metadata) -> bytes:
    return json.dumps(metadata, ensure_ascii=False).encode()


def test_save_replaces_and_leaves_nothing_half_written(batch, tmp_path, monkeypatch):
    path = tmp_path / "out.wav"
    batch[0].save(path)
    before = path.read_bytes()

    def fail(*args):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(soundfile.SoundFile, "write", fail)
        with pytest.raises(OSError, match="disk full"):
            batch[1].save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    batch[1].save(path)
    assert path.read_bytes() != before


@pytest.mark.parametrize("name", ["out.aac", "out", "out.npz"])
def test_save_wants_an_audio_files_name(spoken, tmp_path, name):
    with pytest.raises(ValueError, match=r"path=.* must end in \.wav"):
        spoken.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_row_without_tokens_can_be_saved(batch, tmp_path):
    (empty,) = [row for row in batch if len(row.semantic) == 0]
    assert empty.audio.shape == (0,)
    empty.save(tmp_path / "out.wav")
    assert soundfile.info(tmp_path / "out.wav").frames == 0


def test_a_saved_voice_speaks_as_the_generation_does(bark, batch, tmp_path):
    (source,) = [row for row in batch if row.text == "yes"]
    path = tmp_path / "yes.npz"
    source.save_voice(path)
    with np.load(path) as archive:
        assert archive.files == ["semantic_prompt", "coarse_prompt", "fine_prompt"]
    first, second, voiceless = (
        bark.generate("more", voice=v, seed=1) for v in (source, path, None)
    )
    check_equal(second, first)
    assert first.semantic.tolist() != voiceless.semantic.tolist()


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kwargs, message",
    [
        (
            {"sampling": {"semantic": {"temperature": -1}}},
            r"semantic\.temperature=-1 is not allowed",
        ),
        ({"sampling": {"coarse": {"top_k": 0}}}, r"sampling\.coarse\.top_k=0 is not allowed; want"),
        ({"sampling": {"fine": {"temperature": [0, -1]}}}, r"fine\.temperature=-1 is not allowed"),
        ({"sampling": {"semantics": {}}}, r"no field \['semantics'\]"),
        ({"seed": -1}, "seed=-1 is not allowed"),
        ({"seed": [1, 2], "voice": [None] * 3}, "equal lengths, got {'voice': 3, 'seed': 2}"),
        ({"voice": "nobody"}, "voice 'nobody' not found"),
        ({"voice": 3}, "voice is a int"),
        ({"text": ""}, "text is empty"),
        ({"on_block": 3}, "on_block=3 cannot be called"),
    ],
)
def test_generate_refuses(bark, kwargs, message):
    with pytest.raises(ValueError, match=message):
        bark.generate(**{"text": "hello", **kwargs})


def test_a_bad_row_of_a_batch_fails_before_any_work(bark, monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("the semantic stage ran")

    monkeypatch.setattr(runner.semantic_stage, "generate_semantic", fail)
    for kwargs in ({"text": ["a", " "]}, {"text": "a", "sampling": {"fine": {"temperature": -1}}}):
        with pytest.raises(ValueError, match=r"empty|fine\.temperature"):
            bark.generate(**kwargs)


@pytest.mark.parametrize(
    "stage, value, kwargs, message",
    [
        ("coarse", np.zeros(0, int), {}, "semantic is empty"),
        ("coarse", np.zeros(3), {}, "semantic has dtype float64, want integers"),
        ("coarse", np.array([50]), {}, "semantic has values 50 … 50, want 0 … 49"),
        ("coarse", np.zeros((1, 2, 3), int), {}, "semantic has 3 axes, want 1"),
        ("coarse", [np.arange(3), np.zeros(0, int)], {}, "semantic is empty"),
        ("coarse", np.arange(3), {"max_history": 5}, "max_history=5 is not in 6 … 90"),
        ("coarse", np.arange(3), {"window": 16}, "window=16 is not in 1 … 15"),
        ("coarse", np.arange(3), {"noise": np.zeros((3, 19))}, r"noise of the coarse stage has sh"),
        ("coarse", np.arange(3), {"noise": np.zeros((20, 20))}, "has 20 steps, row 0 may need 21"),
        ("coarse", [np.arange(3)], {"noise": [np.zeros((21, 20))] * 2}, "noise has 2 entries"),
        ("fine", np.zeros((5, 3), int), {}, r"coarse has shape \(5, 3\), want \(1 … 4, T\)"),
        ("fine", np.full((3, 3), 20), {}, "coarse has values 20 … 20, want 0 … 19"),
        ("fine", np.zeros((3, 4), int), {"noise": np.zeros((4, 64, 20))}, "row 0 may need 5"),
        (
            "fine",
            [np.zeros((3, 4), int), np.zeros((2, 4), int)],
            {},
            "rows have 2 and 3 codebooks; want",
        ),
        ("decode", np.zeros((8, 3), int), {}, r"codes has shape \(8, 3\), want \(1 … 7, T\)"),
        ("decode", np.zeros((5, 0), int), {}, "codes is empty"),
        ("decode", [[1, 2], [3]], {}, "codes is no array: .* inhomogeneous"),
        ("decode", np.zeros((5, 2), object), {}, "codes has dtype object, want integers"),
        ("encode", np.array([0.1, np.nan]), {}, "audio holds values that are not finite"),
        ("encode", [np.zeros(3), np.array([0, -np.inf])], {}, "audio holds values that are not"),
        ("encode", np.full(9, 1e38), {}, "audio holds values up to 1e.38, want samples in -1 … 1"),
        ("encode", np.full(9, 32767.0), {}, "audio holds values up to 32767, want"),
        ("encode", np.array([0.1, None]), {}, "audio has dtype object, want floats or one of int8"),
        ("encode", np.zeros(9, int), {}, "audio has dtype int64, want floats or one of int8, uin"),
        ("encode", np.zeros(9, complex), {}, "audio has dtype complex128, want"),
        ("encode", np.zeros((9, 2)), {}, r"audio has shape \(9, 2\), as of 2 channels; want one"),
        ("encode", np.zeros(0), {}, r"audio of row 0 has shape \(0,\), want"),
    ],
)
def test_stages_refuse(bark, stage, value, kwargs, message):
    with pytest.raises(ValueError, match=message):
        getattr(bark, stage)(value, **kwargs)


def test_samples_as_integers_are_rescaled():
    """What soundfile gives for one file in each of its formats."""
    samples = np.array([-1.0, -0.5, 0.0, 0.25, 0.5])
    for dtype, silence in ((np.int8, 0), (np.uint8, 128), (np.int16, 0), (np.int32, 0)):
        full_scale = 2 ** (8 * np.dtype(dtype).itemsize - 1)
        given = (samples * full_scale + silence).astype(dtype)
        np.testing.assert_array_equal(check_audio("audio", given), samples.astype(np.float32))
    assert check_audio("audio", jnp.asarray(samples, jnp.bfloat16)).dtype == np.float32


def test_semantic_noise_of_the_wrong_shape_is_refused(bark):
    with pytest.raises(ValueError, match=re.escape("has shape (40, 50), want (steps, *(51,))")):
        bark.semantic("hello", noise=np.zeros((40, 50)))
    with pytest.raises(ValueError, match="has 39 steps, row 0 may need 40"):
        bark.semantic("hello", noise=np.zeros((39, 51)))


def test_stages_of_another_token_layout_are_refused():
    other = dataclasses.replace(tiny.CONFIG, tokens=dataclasses.replace(L, coarse_window=12))
    with pytest.raises(ValueError, match="the fine stage has another token layout than the sem"):
        _merge_configs({"semantic": tiny.CONFIG, "fine": other})


def test_what_a_call_leaves_open_is_the_models_own(bark):
    """Value by value, in every way to generate; the record has what was used."""
    own = SamplingConfig.of({"semantic": {"temperature": 0.0}, "coarse": {"temperature": 0.2}})
    runner = dataclasses.replace(bark.runner, sampling=own.over(BARK))
    other = Bark(runner, bark.voices)
    given = {"semantic": {"top_p": 0.9, "max_duration_s": 1.0}}
    full = SamplingConfig.of(given).over(own)
    want = bark.generate("hello", seed=3, sampling=full)
    typed = SamplingConfig(semantic=SemanticSampling(top_p=0.9, max_duration_s=1.0))
    for sampling in (given, typed):
        got = other.generate("hello", seed=3, sampling=sampling)
        check_equal(got, want)
        assert got.settings == want.settings
    assert want.settings["sampling"]["coarse"]["temperature"] == 0.2
    semantic = other.semantic("hello", seed=3, sampling=given)
    np.testing.assert_array_equal(semantic, want.semantic)
    exact = other.stream_audio("hello", seed=3, sampling=given)
    assert list(exact) and exact.generation.settings == want.settings
    assert other.sampling == own.over(BARK) and bark.sampling == BARK


def test_a_generation_is_scored_with_what_it_was_made_with(bark):
    """Whatever the model that scores it has of its own."""
    made = bark.generate("hello", seed=3, sampling={"semantic": {"max_duration_s": 1.0}})
    own = SamplingConfig.of({"semantic": {"top_k": 2}, "fine": {"temperature": 0.0}}).over(BARK)
    other = Bark(dataclasses.replace(bark.runner, sampling=own), bark.voices)
    for as_drawn in (False, True):
        want, got = (b.score(made, as_drawn=as_drawn) for b in (bark, other))
        np.testing.assert_array_equal(got.semantic, want.semantic)
        np.testing.assert_array_equal(got.fine, want.fine)
