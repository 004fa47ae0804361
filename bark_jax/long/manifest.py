"""The record of a long text beside its audio, `NAME.json`: what was said when, and why so."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bark_jax.runtime.files import write_json
from bark_jax.runtime.lines import parse_object

if TYPE_CHECKING:  # it brings JAX, for which readers need not wait
    from bark_jax.long.session import Session

FORMAT = "bark_jax/long/1"
DONE, BEGUN = "done", "begun"  # a status; what is begun goes on when it is asked for again


def manifest_path(audio: Path) -> Path:
    """Of an audio file."""
    return audio.with_suffix(".json")


def manifest_of(
    session: "Session", content: dict[str, Any], key: str, status: str
) -> dict[str, Any]:
    """Plain data.

    Args:
      content: what was to be said, the model, and the version.
      key: identifies all of that.
    """
    rate = session.sample_rate
    return {
        "format": FORMAT,
        "status": status,
        "key": key,
        **content,
        "sample_rate": rate,
        "duration_s": round(session.joiner.n_samples / rate, 4),
        "letters_per_s": session.letters_per_s,
        "n_pieces": len(session.pieces),
        "pieces": session.rows,
    }


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest there; None if there is no file.

    Raises:
      ValueError: the file is another's.
    """
    if not path.exists():
        return None
    try:
        found = parse_object(path.read_bytes())
    except ValueError:
        found = {}
    if found.get("format") != FORMAT:
        raise ValueError(f"{path} is in the way: the manifest goes there, and it is another file")
    return found


def claim_manifest(audio: Path, key: str) -> dict[str, Any] | None:
    """The manifest beside an audio file that is to be written; None if there is none.

    Raises:
      ValueError: it is another file, or that of another text's recording.
    """
    found = read_manifest(path := manifest_path(audio))
    other = audio.with_name(found["file"]) if found else audio
    if found and found["key"] != key and other.name != audio.name and other.is_file():
        raise ValueError(f"{path} is in the way: it is the manifest of {other.name}")
    return found


def write_manifest(audio: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Replaces the manifest of an audio file as a whole; gives it with the file's name."""
    named = {"file": audio.name, **manifest}
    write_json(manifest_path(audio), named)
    return named
