"""The command line: every flag, exit codes, messages, pipes, batches."""

import dataclasses
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from bark_jax.cli import command as cli
from bark_jax.cli.arguments import make_parser, parse
from bark_jax.generation import Generation
from bark_jax.sources.untrained import write_random
from tests import tiny

VARIABLES = ("BARK_JAX_MODEL", "SUNO_USE_SMALL_MODELS", "SUNO_OFFLOAD_CPU")


class FakeBark:
    """Gives every text as many samples as it has letters, and remembers what it was asked."""

    def __init__(self):
        self.calls = []
        self.batch_rows = 8
        self.finish_reason = "eos"
        self.is_mute = False
        self.error = None
        self.voices = SimpleNamespace(names=lambda: ["announcer", "v2/en_speaker_6"])

    def generate(self, texts, **options):
        self.calls.append((texts, options))
        if self.error:
            raise self.error
        return [self._make(text, seed) for text, seed in zip(texts, options["seed"], strict=True)]

    def best_of(self, n, text, *, by, seed, **options):
        self.calls.append(([text], options | {"n": n, "by": by, "seed": [seed]}))
        return [(0.75, self._make(text, seed + 2)), (0.5, self._make(text, seed))]

    def stream(self, texts, batch_rows, **options):
        self.calls.append((texts, options | {"batch_rows": batch_rows}))
        rows = [self._make(t, seed) for t, seed in zip(texts, options["seed"], strict=True)]
        yield from reversed(list(enumerate(rows)))

    def _make(self, text, seed):
        n = 0 if self.is_mute else len(text)
        return Generation(
            audio=np.linspace(-1, 1, n, dtype=np.float32),
            sample_rate=24_000,
            semantic=np.zeros(n, np.int32),
            coarse=np.zeros((2, n), np.int32),
            fine=np.zeros((8, n), np.int32),
            text=text,
            seed=seed,
            finish_reason=self.finish_reason,
            timings={},
            settings={"voice": None, "sampling": {}},
        )


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working directory, and no variables."""
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def bark(monkeypatch):
    fake = FakeBark()
    monkeypatch.setattr(cli, "find_model", lambda args: fake)
    monkeypatch.setattr(cli, "load_model", lambda args, model: fake)
    return fake


def arguments(*argv):
    return parse(make_parser(), argv)


def set_stdin(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


class Pipe(io.TextIOWrapper):
    """Standard output that is not a terminal."""

    def __init__(self):
        super().__init__(io.BytesIO())


def usage_error(capsys, *argv):
    """Runs a wrong command; what it says."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(argv)
    assert exit_.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("bark-jax: ") and message.count("\n") == 1
    return message


def failure(capsys, *argv):
    """Runs a command that fails; what it says."""
    assert cli.main(argv) == 1
    return capsys.readouterr().err


# One text


def test_one_text_becomes_a_wav(bark, here, capsys):
    assert cli.main(["Hello.", "-o", "out.wav", "--seed", "1"]) == 0
    audio, rate = soundfile.read("out.wav", dtype="float32")
    assert rate == 24_000 and audio.shape == (6,)
    texts, options = bark.calls[0]
    assert texts == ["Hello."]
    assert options["seed"] == [1] and options["voice"] is None and options["progress"] is True
    said, done = capsys.readouterr().err.splitlines()
    assert said == "out.wav: 0.00 s of audio, seed 1, ended by itself"
    assert "real-time factor" in done
    assert os.listdir(here) == ["out.wav"]


def test_the_originals_command_works(bark, here):
    """All flags of `python -m bark`, spelt as there."""
    argv = "--text Hello. --output_filename a.wav --output_dir out/deep --history_prompt announcer"
    argv += " --text_temp 0.6 --waveform_temp 0.8 --silent True --output_full True"
    assert cli.main(argv.split()) == 0
    texts, options = bark.calls[0]
    assert texts == ["Hello."] and options["voice"] == "announcer"
    assert options["sampling"]["semantic"] == {"temperature": 0.6}
    assert options["sampling"]["coarse"] == {"temperature": 0.8}
    assert options["progress"] is False
    assert sorted(os.listdir(here / "out" / "deep")) == ["a.npz", "a.wav"]
    with np.load(here / "out" / "deep" / "a.npz") as voice:
        assert set(voice) == {"semantic_prompt", "coarse_prompt", "fine_prompt"}


def test_the_default_file_is_the_originals(bark):
    cli.main(["Hello."])
    assert os.listdir() == ["bark_generation.wav"]


@pytest.mark.parametrize(
    ("argv", "is_quiet"),
    [
        (["--silent", "a"], True),
        (["a", "--silent"], True),
        (["--silent", "True", "a"], True),
        (["--silent", "False", "a"], False),
        (["--silent=0", "a"], False),
        (["-q", "a"], True),
        (["--quiet", "a"], True),
        (["a"], False),
    ],
)
def test_switches_work_with_and_without_a_value(argv, is_quiet):
    args = arguments(*argv)
    assert args.quiet is is_quiet and args.texts == ["a"]
    assert arguments("a", *(["--output_full"] if is_quiet else [])).output_full is is_quiet


def test_quiet_prints_nothing(bark, capsys):
    assert cli.main(["Hello.", "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_without_a_seed_every_text_has_its_own_and_it_is_printed(bark, capsys):
    cli.main(["One.", "Two."])
    seeds = bark.calls[0][1]["seed"]
    assert len(set(seeds)) == 2
    assert all(f"seed {seed}," in capsys.readouterr().err for seed in seeds[:1])


@pytest.mark.filterwarnings("always")
def test_the_name_of_a_file_is_spoken_with_a_warning(bark, here, capsys):
    assert cli.main(["notes.txt"]) == 0 and "is a file" not in capsys.readouterr().err
    (here / "notes.txt").write_text("hello")
    assert cli.main(["notes.txt"]) == 0
    assert "notes.txt is a file, and its name is spoken; --long notes" in capsys.readouterr().err


def test_the_best_of_n_is_kept_and_told_with_its_mark(bark, capsys):
    assert cli.main(["Hello.", "--best-of", "4", "--by", "likelihood", "--seed", "5"]) == 0
    _, options = bark.calls[0]
    assert (options["n"], options["by"], options["seed"]) == (4, "likelihood", [5])
    wanted = "seed 7, ended by itself, the best of 4 by likelihood: 0.75\n"
    assert wanted in capsys.readouterr().err


def test_one_seed_serves_all_texts(bark):
    cli.main(["One.", "Two.", "--seed", "7"])
    assert bark.calls[0][1]["seed"] == [7, 7]


def test_save_voice(bark):
    assert cli.main(["Hello.", "--save-voice", "voices/me.npz", "--output-full"]) == 0
    with np.load("voices/me.npz") as voice:
        assert voice["semantic_prompt"].shape == (6,)
    assert os.path.exists("bark_generation.npz")


@pytest.mark.parametrize(
    ("reason", "words"),
    [("max_duration", "cut off at --max-duration"), ("max_tokens", "at the greatest length")],
)
def test_the_end_of_an_unfinished_text_is_told(bark, capsys, reason, words):
    bark.finish_reason = reason
    cli.main(["Hello."])
    assert words in capsys.readouterr().err


# Several texts, pipes


def test_several_texts_are_a_batch_of_numbered_files(bark):
    assert cli.main(["One.", "-o", "x.wav", "Two.", "--text", "Zero."]) == 0
    assert bark.calls[0][0] == ["Zero.", "One.", "Two."]
    assert sorted(os.listdir()) == ["x_000.wav", "x_001.wav", "x_002.wav"]


@pytest.mark.parametrize(
    ("argv", "meant"),
    [(["repot", "OUT"], "report"), (["docter"], "doctor"), (["reports", "--help"], "report")],
)
def test_a_misspelt_subcommand_is_asked_about(bark, capsys, argv, meant):
    assert f"did you mean bark-jax {meant}? To speak it: --text" in usage_error(capsys, *argv)
    assert not bark.calls


@pytest.mark.parametrize(
    "argv", [["The doctor is in."], ["repot", "the plant"], ["--text", "repot"], ["sleep"]]
)
def test_sentences_are_spoken(bark, argv):
    assert cli.main(argv) == 0 and bark.calls


@pytest.mark.parametrize(
    ("argv", "package", "extra"),
    [
        (["verify", "--source", ".", "--model", "m"], "torch", "verify"),
        (["export", "--model", "m", "--out", "o", "--format", "hf"], "safetensors", "convert"),
        (["sweep", "seed=1,2"], "hydra", "sweep"),
        (["finetune"], "hydra", "train"),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    monkeypatch, capfd, tmp_path, argv, package, extra
):
    monkeypatch.chdir(tmp_path)
    if "export" in argv:
        tokens = dataclasses.replace(tiny.LAYOUT, codebook_size=16, fine_hop=28)
        codec = dataclasses.replace(tiny.CONFIG.codec, codebook_size=16)
        write_random(tmp_path / "m", dataclasses.replace(tiny.CONFIG, tokens=tokens, codec=codec))
    for module in ("verify", "reference"):  # which import torch at their top
        monkeypatch.delitem(sys.modules, f"bark_jax.conversion.{module}", raising=False)
    loaded = [name for name in sys.modules if name.startswith(f"{package}.")]  # by other tests
    for name in (package, *loaded):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(sys, "argv", ["bark-jax"])
    with pytest.raises(SystemExit) as caught:
        sys.exit(cli.main(argv))
    said = f"{capfd.readouterr().err}{caught.value.code}"
    assert f'{package} is not installed: pip install "bark-jax[{extra}]"' in said
    assert "Traceback" not in said and said.count("\n") <= 1


def test_debug_shows_the_traceback_of_a_subcommand(monkeypatch, capsys):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    assert cli.main(["report", "nowhere", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_closed_standard_output_is_no_error(bark, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)  # what Python makes of `>&-`
    assert cli.main(["a", "-o", "x.wav"]) == 0 and os.path.exists("x.wav")
    assert cli.main(["a", "-o", "-"]) == 1


def test_more_texts_than_a_batch_are_streamed(bark):
    """They are ready in any order; files keep the order of the texts."""
    texts = ["a", "bb", "ccc", "dddd", "eeeee"]
    cli.main([*texts, "--batch-size", "2", "--save-voice", "v.npz"])
    ((asked, options),) = bark.calls
    assert asked == texts and options["batch_rows"] == 2 and len(options["seed"]) == 5
    for index, text in enumerate(texts):
        assert soundfile.info(f"bark_generation_{index:03}.wav").frames == len(text)
        assert os.path.exists(f"v_{index:03}.npz")


def test_more_texts_than_a_batch_holds_are_a_stream(bark):
    bark.batch_rows = 2
    cli.main(["a"] * 2)
    cli.main(["a"] * 3)
    assert [options.get("batch_rows") for _, options in bark.calls] == [None, 2]


def test_numbers_are_wide_enough_to_sort():
    assert cli.numbered(cli.Path("a/x.wav"), 7, 2000) == cli.Path("a/x_0007.wav")


def test_lines_of_standard_input_are_a_batch(bark, monkeypatch):
    set_stdin(monkeypatch, "\ufeffGrüße.\n\n  Two.  \r\n".encode())
    assert cli.main(["-", "-o", "x.wav"]) == 0
    assert bark.calls[0][0] == ["Grüße.", "Two."]
    assert sorted(os.listdir()) == ["x_000.wav", "x_001.wav"]


def test_one_line_of_standard_input_is_one_text(bark, monkeypatch):
    set_stdin(monkeypatch, b"Hello.\n")
    cli.main(["-", "-o", "x.wav"])
    assert os.listdir() == ["x.wav"]


def test_standard_output_takes_the_wav(bark, monkeypatch, capsys):
    pipe = Pipe()
    monkeypatch.setattr(sys, "stdout", pipe)
    assert cli.main(["Hello.", "-o", "-", "--seed", "3", "--save-voice", "v.npz"]) == 0
    audio, rate = soundfile.read(io.BytesIO(pipe.buffer.getvalue()), dtype="float32")
    assert rate == 24_000 and audio.shape == (6,)
    assert os.listdir() == ["v.npz"]
    assert "standard output: 0.00 s of audio, seed 3" in capsys.readouterr().err


def test_a_text_may_look_like_a_flag(bark):
    cli.main(["-o", "x.wav", "--", "-5 degrees.", "--help"])
    assert bark.calls[0][0] == ["-5 degrees.", "--help"]


# Sampling and model


@pytest.mark.parametrize(
    ("flags", "sampling"),
    [
        ("--semantic-temperature 0", {"semantic": {"temperature": 0}}),
        ("--coarse-temperature 1", {"coarse": {"temperature": 1}}),
        ("--fine-temperature 0.25", {"fine": {"temperature": 0.25}}),
        ("--top-k 5", {"semantic": {"top_k": 5}, "coarse": {"top_k": 5}}),
        ("--top-p 0.9", {"semantic": {"top_p": 0.9}, "coarse": {"top_p": 0.9}}),
        ("--top-k 5 --coarse-top-k 9", {"semantic": {"top_k": 5}, "coarse": {"top_k": 9}}),
        ("--semantic-top-k 2 --semantic-top-p 1", {"semantic": {"top_k": 2, "top_p": 1}}),
        ("--coarse-top-p 0.5", {"coarse": {"top_p": 0.5}}),
        ("--min-eos-p 0.05", {"semantic": {"min_eos_p": 0.05}}),
        ("--max-duration 2.5", {"semantic": {"max_duration_s": 2.5}}),
        ("--no-early-stop", {"semantic": {"allow_early_stop": False}}),
        ("", {}),
    ],
)
def test_sampling_flags(bark, flags, sampling):
    from bark_jax import SamplingConfig

    cli.main(["Hello.", *flags.split()])
    given = bark.calls[0][1]["sampling"]
    assert given == {"semantic": {}, "coarse": {}, "fine": {}} | sampling
    SamplingConfig.of(given)  # every name is a field


def test_model_flags():
    args = arguments("a", "--model", "my/model", "--revision", "abc", "--offline", "--offload")
    assert args.model == {"semantic": "my/model"} and args.revision == "abc"
    assert args.offline and args.offload and args.dtype is None
    assert arguments("a", "--dtype", "bfloat16").dtype == "bfloat16"


def test_stages_may_come_from_different_models():
    args = arguments("a", "--model", "semantic=suno/bark,coarse=/x/small")
    assert args.model == {"semantic": "suno/bark", "coarse": "/x/small"}


def test_variables_set_the_defaults(monkeypatch):
    assert arguments("a").model == {"semantic": "nano"} and not arguments("a").offload
    monkeypatch.setenv("SUNO_USE_SMALL_MODELS", "True")
    monkeypatch.setenv("SUNO_OFFLOAD_CPU", "1")
    assert arguments("a").model == {"semantic": "suno/bark-small"} and arguments("a").offload
    monkeypatch.setenv("BARK_JAX_MODEL", "/models/mine")
    assert arguments("a").model == {"semantic": "/models/mine"}


def test_list_voices(bark, capsys):
    assert cli.main(["--list-voices"]) == 0
    assert capsys.readouterr().out.split() == ["announcer", "v2/en_speaker_6"]


def test_version(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == "bark-jax 0.1.0\n"


# Mistakes


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "no text"),
        (["a", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["a", "--top-k", "0"], "--top-k: want a whole number >= 1, got '0'"),
        (["a", "--top-p", "1.5"], "--top-p: want a number in 0 … 1, got '1.5'"),
        (["a", "--text_temp", "-1"], "want a number >= 0, got '-1'"),
        (["a", "--waveform_temp", "hot"], "want a number >= 0, got 'hot'"),
        (["a", "--max-duration", "inf"], "want a number >= 0, got 'inf'"),
        (["a", "--seed", "-1"], "want a whole number >= 0, got '-1'"),
        (["a", "--batch-size", "0"], "want a whole number >= 1, got '0'"),
        (["a", "--silent=maybe"], "want true or false, got 'maybe'"),
        (["a", "--dtype", "float16"], "invalid choice: 'float16'"),
        (["a", "--save-voice", "v.wav"], "want a name that ends in .npz, got 'v.wav'"),
        (["a", "-o", "x.aac"], "the output: path='x.aac' must end in .wav"),
        (["a", "-o", ""], "the output: path='.' must end in .wav"),
        (["a", "-o", "x.mp3", "--bits", "16"], "the output: bits=16 is not of a .mp3 file"),
        (["a", "b", "-o", "-"], "2 texts do not fit into one pipe"),
        (["a", "-o", "-", "--output-full"], "--output-full needs a file name"),
        (["a", "--stream", "--best-of", "2"], "--best-of goes with neither --stream nor --long"),
        (["a", "--by", "words"], "--by goes with --best-of or --long"),
    ],
)
def test_wrong_usage_is_told_in_one_line(bark, capsys, argv, message):
    assert message in usage_error(capsys, *argv)
    assert not bark.calls and not os.listdir()


def test_empty_standard_input_is_wrong_usage(bark, monkeypatch, capsys):
    set_stdin(monkeypatch, b"\n  \n")
    assert "standard input holds no text" in usage_error(capsys, "-")


def test_a_wav_does_not_go_to_a_terminal(bark, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert "standard output is a terminal" in usage_error(capsys, "a", "-o", "-")


def test_standard_input_that_is_not_utf8(bark, monkeypatch, capsys):
    set_stdin(monkeypatch, b"Gr\xfc\xdfe")
    assert "standard input, line 1: byte 0xfc is not UTF-8" in failure(capsys, "-")


def test_an_error_is_one_line_and_has_an_exit_code(bark, capsys):
    bark.error = ValueError("voice 'x' not found:\n did you mean y?")
    message = failure(capsys, "a", "-v", "x")
    assert message == "bark-jax: voice 'x' not found: did you mean y?\n"
    assert not os.listdir()


def test_an_error_without_words_tells_its_type(bark, capsys):
    bark.error = KeyError("semantic")
    assert failure(capsys, "a") == "bark-jax: KeyError: 'semantic'\n"


def test_debug_shows_the_traceback(bark, capsys):
    bark.error = ValueError("broken")
    assert "Traceback" in failure(capsys, "a", "--debug")


def test_interruption(bark, capsys):
    bark.error = KeyboardInterrupt()
    assert cli.main(["a"]) == 130
    assert capsys.readouterr().err == "bark-jax: interrupted\n"


def test_the_target_is_checked_before_the_work(bark, here, capsys):
    (here / "x.wav").mkdir()
    assert "cannot write x.wav" in failure(capsys, "a", "-o", "x.wav")
    (here / "file").write_text("")
    assert "file" in failure(capsys, "a", "--output-dir", "file")
    assert not bark.calls


@pytest.mark.parametrize("command", ["info", "report", "convert --out m --source"])
def test_commands_know_the_home_folder(here, capsys, monkeypatch, command):
    monkeypatch.setenv("HOME", str(here))
    assert f"{here}/none" in failure(capsys, *command.split(), "~/none")


def test_a_failed_write_leaves_the_old_file(bark, here, capsys, monkeypatch):
    (here / "x.wav").write_bytes(b"old")

    def full_disk(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(soundfile.SoundFile, "write", full_disk)
    assert "No space left on device" in failure(capsys, "a", "-o", "x.wav")
    assert (here / "x.wav").read_bytes() == b"old" and os.listdir() == ["x.wav"]


def test_no_audio_is_told(bark, capsys):
    bark.is_mute = True
    assert cli.main(["a", "--save-voice", "v.npz"]) == 0
    assert "no audio, for the model ended at once" in capsys.readouterr().err
    assert not os.path.exists("v.npz")


# The real thing


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Caches of this test module's own."""
    cache = str(tmp_path_factory.mktemp("cache"))
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    root = str(Path(cli.__file__).parents[2])
    for name in ("BARK_JAX_COMPILE_CACHE", "JAX_COMPILATION_CACHE_DIR"):
        kept.pop(name, None)
    return kept | {"XDG_CACHE_HOME": cache, "HF_HOME": cache, "PYTHONPATH": root}


def run(environment, *argv, **options):
    """A process of its own; `-c` and code, or arguments of the command."""
    command = [sys.executable, *(argv if argv[0] == "-c" else ("-m", "bark_jax", *argv))]
    return subprocess.run(command, env=environment, capture_output=True, check=False, **options)


def test_help_needs_no_jax(environment):
    code = (
        "import sys\nfrom bark_jax.cli.command import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: sys.exit('jax' in sys.modules or 'numpy' in sys.modules)"
    )
    done = run(environment, "-c", code)
    assert done.returncode == 0, done.stderr
    assert b"exit code: 0 done, 1 failed, 2 wrong usage" in done.stdout


def test_the_untrained_model_speaks_noise(environment, here, capfd):
    """Text to a file, then the same through pipes from a process of its own."""
    flags = ["--model", "untrained", "--seed", "5", "--max-duration", "0.2"]
    assert cli.main(["hello there", "-o", "a.wav", *flags]) == 0
    told = capfd.readouterr()
    assert "untrained: expect noise" in told.err and told.out == ""
    with soundfile.SoundFile(here / "a.wav") as file:
        assert file.samplerate == 24_000 and file.frames > 0
        assert json.loads(file.comment)["seed"] == 5
        audio = file.read()

    done = run(environment, "-", "-o", "-", "-q", *flags, input=b"hello there\n")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(done.stdout))[0], audio)


def test_a_reader_that_is_gone_is_no_accident(environment):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "bark_jax", "doctor"]
    done = subprocess.run(command, env=environment, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_errors_of_the_library_come_through(environment):
    done = run(environment, "hello", "-v", "nobody", "-o", "-")
    assert done.returncode == 1 and done.stdout == b""
    assert b"voice 'nobody' not found" in done.stderr and b"Traceback" not in done.stderr
    done = run(environment, "hello", "--model", "no/such/model")
    assert done.returncode == 1 and b"'no/such/model' is not a directory" in done.stderr


def test_mistakes_are_told_before_jax_is_loaded():
    """In a process of its own: this one has JAX."""
    program = (
        "import sys; from bark_jax.cli import main\n"
        "for argv in (['hello', '-v', 'rsm'], ['hello', '--model', 'nanno'], [' '],"
        " ['hi', 'a\\ud800'], ['--batch-file', 'x.txt', '--out-dir', 'o']):\n"
        "    assert main(argv) == 1 and 'jax' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    voice, model, empty, half, file = done.stderr.splitlines()
    assert voice.startswith("bark-jax: voice 'rsm' not found: did you mean rms?")
    assert model.endswith("did you mean nano?")
    assert empty == "bark-jax: text is empty" and "not valid Unicode" in half
    assert file == "bark-jax: x.txt: No such file or directory"
