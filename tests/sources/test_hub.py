"""Models by name: directories, and a hub played by a server on loopback.

What concerns the hub runs in processes of its own, since huggingface_hub reads the environment
when it is imported.
"""

import json
import os
from pathlib import Path

import huggingface_hub
import pytest

from bark_jax.checkpoint import load_config, load_stage
from bark_jax.config import STAGES
from bark_jax.sources import resolve
from bark_jax.sources.hub import HubRepo, ModelNotFoundError
from bark_jax.sources.resolve import resolve_model
from bark_jax.sources.untrained import ensure_untrained, write_untrained
from tests.fake_hub import FakeHub, read_files

CLOSED = "http://127.0.0.1:9"  # no server listens there
SWITCHED_OFF = (
    "is not on this machine and downloads are switched off: run once without local_files_only, "
    "--offline and HF_HUB_OFFLINE"
)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """A model in our format."""
    folder = tmp_path_factory.mktemp("ours") / "model"
    write_untrained(folder)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with FakeHub(tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture
def hub(server):
    server.requests.clear()
    return server


@pytest.fixture(scope="module")
def downloaded(server, ours):
    """A repository in our format that was asked for twice: the two paths, the files fetched."""
    server.push("me/tiny", read_files(ours) | {"README.md": b"x", "optimizer/big": b"x"})
    server.requests.clear()
    paths = server.ask({"source": "me/tiny"}, {"source": "me/tiny"})
    return [Path(path) for path in paths], server.downloads()


@pytest.mark.parametrize(
    ("name", "meant"), [("nanno", "nano"), ("untraned", "untrained"), ("xyz", None)]
)
def test_a_misspelt_model_is_guessed(name, meant):
    with pytest.raises(ModelNotFoundError) as caught:
        resolve_model(name)
    told = str(caught.value)
    assert told.endswith(f"did you mean {meant}?") if meant else "did you mean" not in told


def test_first_use_downloads_what_belongs_to_a_model(downloaded, ours):
    (first, second), fetched = downloaded
    assert first == second
    assert len(fetched) == len(set(fetched))
    assert set(fetched) <= read_files(ours).keys()
    assert read_files(first) == read_files(ours)


def test_downloaded_model_loads(downloaded, ours):
    (model, _), _ = downloaded
    assert load_config(model) == load_config(ours)
    for stage in STAGES:
        load_stage(model, stage)


def test_offline_use_asks_for_nothing(hub, downloaded):
    (model, _), _ = downloaded
    found = hub.ask(
        {"source": "me/tiny"},
        {"source": "me/tiny", "local_files_only": True},
        {"source": "me/tiny", "revision": "v9"},
        {"source": "me/unknown"},
        HF_HUB_OFFLINE="1",
    )
    assert found[:2] == [str(model)] * 2
    assert found[2] == ["ModelNotFoundError", f"config.json of me/tiny at v9 {SWITCHED_OFF}"]
    assert found[3] == ["ModelNotFoundError", f"config.json of me/unknown {SWITCHED_OFF}"]
    assert hub.requests == []


def test_hub_out_of_reach(hub, downloaded):
    """What was downloaded serves on."""
    (model, _), _ = downloaded
    assert hub.ask({"source": "me/tiny"}, HF_ENDPOINT=CLOSED) == [str(model)]


def test_a_hub_out_of_reach_is_told_in_one_line_without_retries(hub):
    process = hub.start({"source": "me/elsewhere"}, HF_ENDPOINT=CLOSED)
    out, err = process.communicate(timeout=100)
    assert err == ""  # where every retry would leave a line
    kind, message = json.loads(out)
    assert kind == "ModelNotFoundError"
    assert message.startswith(f"config.json of me/elsewhere can't be downloaded from {CLOSED}: ")
    assert "refused" in message


def test_revisions_and_local_files_only(hub, ours):
    old = hub.push("me/grown", read_files(ours), "v1")
    new = hub.push("me/grown", read_files(ours) | {"voices/solo.npz": b"x"})
    miss, *found, unknown = hub.ask(
        {"source": "me/grown", "local_files_only": True},
        {"source": "me/grown"},
        {"source": "me/grown", "revision": "v1"},
        {"source": "me/grown", "revision": old},
        {"source": "me/grown", "revision": "v2"},
    )
    assert miss == ["ModelNotFoundError", f"config.json of me/grown {SWITCHED_OFF}"]
    assert [Path(path).name for path in found] == [new, old, old]
    assert [(Path(path) / "voices").exists() for path in found] == [True, False, False]
    assert unknown == ["ModelNotFoundError", "me/grown has no revision 'v2' on the hub"]


def test_broken_connection_resumes_and_a_missing_file_is_named(hub, ours):
    big = os.urandom(12_000_000)  # the client keeps what it has in steps of 10 MiB
    hub.push("me/big", read_files(ours) | {"voices/big.npz": big})
    hub.cut = {"voices/big.npz": 11_000_000}
    (model,) = hub.ask({"source": "me/big"})
    assert Path(model, "voices", "big.npz").read_bytes() == big
    asked = [at for method, path, at in hub.requests if method == "GET" and "big.npz" in path]
    assert asked == [None, f"bytes={10 << 20}-"]

    Path(model, "voices", "big.npz").unlink()
    ((kind, message),) = hub.ask({"source": "me/big"}, HF_HUB_OFFLINE="1")
    assert kind == "ModelNotFoundError" and "\n" not in message
    assert message.startswith("voices/big.npz of me/big") and "switched off" in message


def test_repositories_without_a_model(hub):
    hub.push("me/empty", {"README.md": b"x"})
    hub.push("me/bare", {"config.json": b"{}"})
    hub.push("me/mute", {"config.json": b"{}", "model.safetensors": b"x"})
    shards = {"weight_map": {"a": "../../evil.safetensors"}}
    index = json.dumps(shards).encode()
    hub.push("me/evil", {"config.json": b"{}", "model.safetensors.index.json": index})
    matches = {
        "me/unknown": f"{hub.url} has no repository 'me/unknown', or it is not yours to read",
        "me/empty": "me/empty holds no model: it has no config.json",
        "me/bare": "me/bare holds no weights: neither model.safetensors nor pytorch_model.bin",
        "me/mute": "me/mute has no tokenizer: no vocab.txt nor tokenizer.json",
        "me/evil": "me/evil lacks '../../evil.safetensors', which its model.safetensors.index.json",
    }
    errors = hub.ask(*({"source": name} for name in matches))
    for (kind, message), words in zip(errors, matches.values(), strict=True):
        assert kind == "ModelNotFoundError" and "\n" not in message
        assert message.startswith(words)
    assert not any("evil.safetensors" in path for _, path, _ in hub.requests)


def test_the_untrained_model_and_a_directory_of_ours(ours, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert resolve_model("untrained") == ensure_untrained()
    assert resolve_model(ours) == ours
    assert resolve_model(str(ours)) == ours


@pytest.mark.parametrize(
    "source", ["tiny", "a/b/c", "./a", "/none", "../a", "a\\b", Path("me/tiny")]
)
def test_names_of_nothing(source):
    with pytest.raises(
        ModelNotFoundError, match='is not a directory, nor "nano", nor a repository'
    ):
        resolve_model(source)


@pytest.mark.parametrize("content", ["", '{"format": "bark_jax/1", "sem', "[" * 100_000])
def test_a_torn_config_is_told(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"config\.json: it is (not JSON|nested too deeply)"):
        resolve_model(tmp_path)


def test_directory_without_a_model(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ModelNotFoundError, match=r"holds no model: no config\.json .* no text\.pt"):
        resolve_model(tmp_path)


def test_progress_bars_are_off_only_meanwhile(monkeypatch):
    monkeypatch.setattr(resolve, "_from_hub", lambda *_: are_disabled())
    are_disabled = huggingface_hub.utils.are_progress_bars_disabled
    shown = not are_disabled()
    assert resolve_model("me/tiny", progress=False) is True
    assert resolve_model("me/tiny") is not shown
    assert are_disabled() is not shown


@pytest.mark.parametrize(
    "error, words",
    [
        (OSError(28, "No space left on device"), "No space left on device; run again"),
        (ValueError("first line\nsecond line"), "first line; run again"),
        (RuntimeError(), "RuntimeError; run again"),
    ],
)
def test_other_failures_of_a_download(monkeypatch, error, words):
    def fail(*_args, **_options):
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(
        ModelNotFoundError, match=r"x\.bin of me/tiny can't be downloaded"
    ) as caught:
        HubRepo("me/tiny").fetch("x.bin")
    assert words in str(caught.value) and "\n" not in str(caught.value)
