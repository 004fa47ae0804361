"""Voices of a hub repository, which a manifest names; the hub itself is played by a directory."""

import json

import numpy as np
import pytest

from bark_jax.sources import voice_library
from bark_jax.sources.hub import ModelNotFoundError
from bark_jax.sources.voice_library import VoiceLibrary
from bark_jax.voices import VoiceError
from tests.test_voices import LAYOUT, assert_holds, make_arrays


class LocalRepo:
    """A repository whose files lie in a directory; None stands for a hub out of reach."""

    def __init__(self, name, revision, local_files_only):
        self.name, self.revision, self.local_files_only = name, revision, local_files_only
        self.fetched = []

    def fetch(self, filename):
        if self.name is None:
            raise ModelNotFoundError(f"{filename} can't be downloaded")
        self.fetched.append(filename)
        path = self.name / filename
        return path if path.is_file() else None


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A repository in Hugging Face's layout: one voice as three .npy, one as .npz."""
    folder = tmp_path / "repo" / "speaker_embeddings" / "v2"
    folder.mkdir(parents=True)
    entry = {}
    for key, array in make_arrays(7).items():
        np.save(folder / f"en_speaker_0_{key}.npy", array)
        entry[key] = f"speaker_embeddings/v2/en_speaker_0_{key}.npy"
    np.savez(folder / "en_speaker_1.npz", **make_arrays(8))
    write_manifest(tmp_path / "repo", entry)
    monkeypatch.setattr(voice_library, "HubRepo", LocalRepo)
    return tmp_path / "repo"


@pytest.fixture
def local(tmp_path):
    """A model's own directory of voices."""
    (tmp_path / "voices" / "v2").mkdir(parents=True)
    np.savez(tmp_path / "voices" / "solo.npz", **make_arrays(1))
    np.savez(tmp_path / "voices" / "v2" / "en_speaker_6.npz", **make_arrays(0))
    return tmp_path / "voices"


def write_manifest(repo, entry):
    content = {"repo_or_path": "someone/else", "v2/en_speaker_0": entry}
    (repo / "speaker_embeddings_path.json").write_text(json.dumps(content))


def read_manifest(repo):
    return json.loads((repo / "speaker_embeddings_path.json").read_text())["v2/en_speaker_0"]


def test_hub_voices_are_fetched_one_by_one(hub, local):
    online = VoiceLibrary([local], LAYOUT, hub_repo=hub, revision="v1")
    repo = online._hub._repo
    assert (repo.revision, repo.local_files_only, repo.fetched) == ("v1", False, [])
    assert_holds(online.resolve("solo"), make_arrays(1))
    assert repo.fetched == []
    assert_holds(online.resolve("v2/en_speaker_0"), make_arrays(7))
    assert len(repo.fetched) == 4
    assert_holds(online.resolve("v2/en_speaker_1"), make_arrays(8))
    assert repo.fetched[4:] == ["speaker_embeddings/v2/en_speaker_1.npz"]
    assert online.names() == ["solo", "v2/en_speaker_0", "v2/en_speaker_6"]
    with pytest.raises(VoiceError, match="'v2/en_speaker_9' not found: did you mean"):
        online.resolve("v2/en_speaker_9")


def test_hub_out_of_reach(hub, local):
    offline = VoiceLibrary([local], LAYOUT, hub_repo="x")
    offline._hub._repo.name = None
    assert offline.names() == ["solo", "v2/en_speaker_6"]
    assert_holds(offline.resolve("v2/en_speaker_6"), make_arrays(0))
    with pytest.raises(
        ModelNotFoundError, match=r"speaker_embeddings_path\.json can't be downloaded"
    ):
        offline.resolve("v2/en_speaker_0")


@pytest.mark.parametrize(
    "path",
    ["../secret.npy", "/etc/secret.npy", "a/../../secret.npy", "a\\..\\secret.npy", "C:/s.npy",
     "speaker_embeddings/x.pkl", "", "./x.npy", "a//x.npy", None, 3],
)  # fmt: skip
def test_manifest_may_not_leave_the_repository(hub, path):
    write_manifest(hub, read_manifest(hub) | {"fine_prompt": path})
    online = VoiceLibrary([], LAYOUT, hub_repo=hub)
    with pytest.raises(VoiceError, match=r"names '.*', not an .npy in it"):
        online.resolve("v2/en_speaker_0")
    assert all(name.startswith("speaker_embeddings") for name in online._hub._repo.fetched)


def test_manifest_without_a_key(hub):
    entry = read_manifest(hub)
    del entry["coarse_prompt"]
    write_manifest(hub, entry)
    with pytest.raises(VoiceError, match="v2/en_speaker_0 lacks coarse_prompt"):
        VoiceLibrary([], LAYOUT, hub_repo=hub).resolve("v2/en_speaker_0")


def test_manifest_that_names_an_absent_file(hub):
    write_manifest(hub, read_manifest(hub) | {"fine_prompt": "speaker_embeddings/gone.npy"})
    with pytest.raises(VoiceError, match=r"lacks speaker_embeddings/gone\.npy, which its"):
        VoiceLibrary([], LAYOUT, hub_repo=hub).resolve("v2/en_speaker_0")


@pytest.mark.parametrize("content", ["{", "[]", "3"])
def test_damaged_manifest(hub, content):
    (hub / "speaker_embeddings_path.json").write_text(content)
    with pytest.raises(VoiceError, match=r"speaker_embeddings_path\.json of .* is damaged"):
        VoiceLibrary([], LAYOUT, hub_repo=hub).resolve("v2/en_speaker_0")


def test_pickled_hub_array(hub):
    path = hub / read_manifest(hub)["semantic_prompt"]
    np.save(path, np.array([{"any": "object"}], object), allow_pickle=True)
    with pytest.raises(VoiceError, match=r"is not a readable array \(\.npy\): .*Python objects"):
        VoiceLibrary([], LAYOUT, hub_repo=hub).resolve("v2/en_speaker_0")


def test_hub_voice_is_checked_like_any_other(hub):
    np.save(hub / read_manifest(hub)["semantic_prompt"], np.full(20, 50))
    with pytest.raises(
        VoiceError, match="v2/en_speaker_0 is not a voice of this model: semantic_pr"
    ):
        VoiceLibrary([], LAYOUT, hub_repo=hub).resolve("v2/en_speaker_0")
