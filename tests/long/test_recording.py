"""Long texts to files: written meanwhile, resumed bit by bit, with their manifest."""

import contextlib
import json
import random
import shutil

import numpy as np
import pytest
import soundfile

from bark_jax.long.recording import Recording
from bark_jax.long.run import generate_long
from bark_jax.runtime.locks import InUseError, held_alone
from tests.long.fake import RATE, FakeModel
from tests.long.test_session import SENTENCES, TEXT

FAULTS = {SENTENCES[2]: ["silent"], SENTENCES[7]: ["silent", "short", "clipped"]}
MODES = ("anchor", "carry", "reanchor")


def made_to(path, mode="carry", stop_after=None, bark=None, **options):
    """Twelve pieces, some of them tried again; interrupted by Ctrl-C after so many tries."""
    bark = bark or FakeModel(FAULTS)
    bark.stop_after = stop_after
    settings = {"merge": False, "mode": mode, "reanchor_every": 3, "pause_s": 0.0}
    return generate_long(bark, TEXT, seed=5, settings=settings, path=path, **options)


def seen(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


@pytest.mark.parametrize("mode", MODES)
def test_the_file_has_the_samples_and_the_manifest(tmp_path, mode):
    path = tmp_path / "a.wav"
    made = made_to(path, mode)
    in_memory = made_to(None, mode)
    audio, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE
    np.testing.assert_array_equal(audio, in_memory.audio)
    np.testing.assert_array_equal(made.audio, in_memory.audio)
    manifest = json.loads((tmp_path / "a.json").read_text())
    assert manifest == made.manifest == {"file": "a.wav", **in_memory.manifest}
    assert manifest["status"] == "done" and manifest["text"] == TEXT
    assert seen(tmp_path) == ["a.json", "a.wav"]


@pytest.mark.parametrize("mode", MODES)
def test_a_run_interrupted_anywhere_goes_on_to_the_same_file(tmp_path, mode):
    """Ten random moments each, several interruptions of one run among them."""
    whole = tmp_path / "a.wav"
    made_to(whole, mode)
    rng = random.Random(mode)
    for number in range(10):
        (folder := tmp_path / f"{number}").mkdir()
        path = folder / "a.wav"
        with pytest.raises(KeyboardInterrupt):
            made_to(path, mode, stop_after=rng.randint(0, 11))
        for _ in range(rng.randint(0, 2)):
            assert soundfile.info(path).samplerate == RATE  # playable
            assert json.loads((folder / "a.json").read_text())["pieces"] is not None
            with contextlib.suppress(KeyboardInterrupt):
                made_to(path, mode, stop_after=rng.randint(0, 6))
        made_to(path, mode)
        assert path.read_bytes() == whole.read_bytes()
        assert (folder / "a.json").read_bytes() == (tmp_path / "a.json").read_bytes()
        assert seen(folder) == ["a.json", "a.wav"]


@pytest.mark.parametrize("step", ["raw", "state", "manifest"])
def test_a_kill_between_the_writes_of_a_wave_loses_nothing(tmp_path, monkeypatch, step):
    """What was written of a wave that does not count yet is written again, once."""
    made_to(tmp_path / "whole.wav")
    n_left = 4
    names = {"raw": "_save", "state": "write_manifest", "manifest": "write_manifest"}
    original = getattr(Recording, names[step])

    def dies(self, *args):
        nonlocal n_left
        n_left -= 1
        if n_left < 0:
            raise RuntimeError("killed")
        return original(self, *args)

    monkeypatch.setattr(Recording, names[step], dies)
    path = tmp_path / "a.wav"
    with pytest.raises(RuntimeError, match="killed"):
        made_to(path)
    monkeypatch.undo()
    bark = FakeModel(FAULTS)
    made_to(path, bark=bark)
    assert path.read_bytes() == (tmp_path / "whole.wav").read_bytes()
    assert sum(len(call["text"]) for call in bark.calls) < 14


def test_what_is_complete_is_not_made_again(tmp_path):
    made_to(tmp_path / "a.wav")
    bark = FakeModel(FAULTS)
    again = made_to(tmp_path / "a.wav", bark=bark)
    assert bark.calls == [] and len(again.pieces) == 12


def test_other_settings_begin_anew(tmp_path):
    path = tmp_path / "a.wav"
    with pytest.raises(KeyboardInterrupt):
        made_to(path, "carry", stop_after=6)
    made = made_to(path, "anchor")
    np.testing.assert_array_equal(made.audio, made_to(None, "anchor").audio)
    assert seen(tmp_path) == ["a.json", "a.wav"]


def test_memory_does_not_grow_with_the_text(tmp_path):
    """What a session holds after a wave: pieces ahead, and the histories that are still needed."""
    from bark_jax.long.session import AHEAD, Session

    most = []
    state = Session.state

    def counted(self):
        most.append((len(self.held), len(self.histories)))
        return state(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "state", counted)
        generate_long(
            FakeModel({SENTENCES[2]: ["silent"] * 3}),
            TEXT * 20,
            settings={"merge": False},
            path=tmp_path / "a.wav",
        )
    assert len(most) > 50
    assert max(n_held for n_held, _ in most) <= AHEAD * 2
    assert max(n_histories for _, n_histories in most) <= AHEAD * 2


def test_a_file_in_the_manifests_place_is_left_alone(tmp_path):
    (tmp_path / "a.json").write_text('{"mine": 1}')
    with pytest.raises(ValueError, match=r"a\.json is in the way"):
        made_to(tmp_path / "a.wav")
    assert seen(tmp_path) == ["a.json"]


def test_a_manifest_of_another_recording_is_left_alone(tmp_path):
    made_to(tmp_path / "a.wav")
    made_to(tmp_path / "a.flac")  # of the same text: one manifest is right for both
    with pytest.raises(ValueError, match=r"a\.json is in the way: it is the manifest of a\.flac"):
        made_to(tmp_path / "a.ogg", "anchor")
    assert made_to(tmp_path / "a.flac", "anchor").manifest["file"] == "a.flac"


def test_two_runs_do_not_write_one_file(tmp_path):
    with held_alone(tmp_path / "a.wav"), pytest.raises(InUseError):
        made_to(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_every_format_has_the_metadata_in_it_or_beside_it(tmp_path, name):
    from bark_jax.audio_files import read_metadata

    text = TEXT * 3  # more than a WAV's comment holds
    bark = FakeModel()
    made = generate_long(bark, text, seed=2, path=tmp_path / name)
    metadata = read_metadata(tmp_path / name)
    assert metadata["text"] == text and metadata["seed"] == 2
    assert metadata["settings"]["mode"] == "anchor" and metadata["made_by"] == bark.runner.origin
    assert soundfile.info(tmp_path / name).duration == pytest.approx(made.duration_s, abs=0.2)
    assert seen(tmp_path) == sorted(["a.json", name])


def test_a_result_in_memory_can_be_saved(tmp_path):
    made = made_to(None)
    made.save(tmp_path / "b.flac", bits=16)
    audio, _ = soundfile.read(tmp_path / "b.flac", dtype="float32")
    np.testing.assert_allclose(audio, made.audio.clip(-1, 1), atol=1 / 32768)
    assert json.loads((tmp_path / "b.json").read_text())["pieces"] == made.pieces
    shutil.copy(tmp_path / "b.flac", tmp_path / "c.flac")  # FLAC has all inside
    from bark_jax.audio_files import read_metadata

    assert read_metadata(tmp_path / "c.flac")["text"] == TEXT
