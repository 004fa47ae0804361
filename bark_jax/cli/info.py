"""`bark-jax info FILE`: what an audio file says of how it was made, or a model of itself."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bark_jax.audio_files import FORMATS, read_metadata
from bark_jax.cli.arguments import PROG, Parser, file_path
from bark_jax.config import TRANSFORMERS
from bark_jax.model_card import size_of
from bark_jax.programs.errors import not_installed
from bark_jax.sampling_config import recorded

INNER = "  "


def main(argv: Sequence[str]) -> int:
    """Prints it, and for a long text what became of its pieces."""
    parser = Parser(prog=f"{PROG} info", description=__doc__)
    parser.add_argument(
        "file",
        metavar="FILE",
        type=file_path,
        help='audio that bark-jax wrote; or a model: a directory, "nano", a repository that was '
        "downloaded",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--picture", metavar="PNG", type=file_path, help="of a long text: also draw its pieces"
    )
    args = parser.parse_args(argv)
    path = args.file
    if path.is_file() or path.suffix.lower() in FORMATS:
        found = {**facts_of(path), **read_metadata(path), **pieces_of(path)}
    else:
        found = facts_of_model(str(path))
    if args.picture:
        _draw(path, found, args.picture)
    if args.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print("\n".join(lines_of(found)))
    return 0


def _draw(path: Path, found: Mapping[str, Any], picture: Path) -> None:
    if "pieces" not in found:
        raise ValueError(f"{path} has no manifest beside it: only a long text's pieces are drawn")
    try:
        from bark_jax.long.picture import draw

        draw(path, found, picture)
    except ModuleNotFoundError as error:
        raise ImportError(not_installed(error, "sweep") or str(error)) from error


def facts_of(path: Path) -> dict[str, Any]:
    """What the file is, whoever made it."""
    import soundfile

    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        found = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"{path} is not an audio file: {error}") from error
    return {
        "file": str(path),
        "format": f"{found.format}, {found.subtype}",
        "sample_rate": found.samplerate,
        "duration_s": round(found.duration, 4),
    }


def facts_of_model(source: str) -> dict[str, Any]:
    """Where a model is, its sizes, its voices and what it draws with; nothing is downloaded."""
    from bark_jax.sources.description import describe

    model = describe(source, local_files_only=True, progress=False)
    return {
        "model": source,
        "folder": str(model.folders["semantic"]),
        "sample_rate": model.config.sample_rate,
        "sizes": {stage: size_of(getattr(model.config, stage)) for stage in TRANSFORMERS},
        "weights": model.stored_weights,
        "voices": ", ".join(model.voices.names()),
        "sampling": recorded(model.sampling.plain()),
        "sampling_of_its_own": {s: v for s, v in model.own_sampling.plain().items() if v},
    }


def pieces_of(path: Path) -> dict[str, Any]:
    """Of a long text: the pieces in the manifest beside the file."""
    from bark_jax.long.manifest import manifest_path, read_manifest

    try:
        manifest = read_manifest(manifest_path(path))
    except ValueError:  # another file
        return {}
    names = ("status", "letters_per_s", "n_pieces", "pieces")
    return {name: manifest[name] for name in names} if manifest else {}


def lines_of(found: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Entries a line each, nested ones below their name."""
    for name, value in found.items():
        if name == "pieces":
            yield f"{indent}pieces"
            yield from (f"{indent}{INNER}{_piece(i, piece)}" for i, piece in enumerate(value))
        elif isinstance(value, Mapping) and value:
            yield f"{indent}{name}"
            yield from lines_of(value, indent + INNER)
        elif value not in (None, {}, []) and name not in ("key", "cues"):
            yield f"{indent}{name}: {value}"


def _piece(index: int, piece: Mapping[str, Any]) -> str:
    tries = [", ".join(one["faults"]) or "good" for one in piece["tries"]]
    voice = "" if piece["speaker"] is None else f"{piece['speaker']}: "
    after = f" (tries: {'; '.join(tries)}; took {piece['chosen'] + 1})" if len(tries) > 1 else ""
    times = f"{piece['begin_s']:8.2f} … {piece['end_s']:8.2f}"
    return f"{index:4} {times}  {voice}{piece['text']}{after}"
