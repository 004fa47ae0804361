"""Puts what lies outside `docs/` into the site; mkdocs calls `on_files`."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

OUTSIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff")


def on_files(files: Files, config: Any) -> Files:
    root = Path(config.config_file_path).parent
    for name in OUTSIDE:
        text = (root / name).read_text(encoding="utf-8").replace("](docs/", "](")
        place = "index.md" if name == "README.md" else name
        files.append(File.generated(config, place, content=text))
    return files
