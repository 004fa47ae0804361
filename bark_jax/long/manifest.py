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


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Replaces the file as a whole."""
    write_json(path, manifest)
