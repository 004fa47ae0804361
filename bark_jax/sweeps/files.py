"""The folder of one point, by file.

audio.wav       32-bit float, settings inside
tokens.npz      semantic, coarse and fine tokens; a voice for later generations
entropy.npz     bits per step, if asked for
metrics.json    settings, metrics, versions; written last: a folder that has it is complete
error.json      in its place for a point that failed
"""

import json
import os
from pathlib import Path
from typing import Any

METRICS_FILE, ERROR_FILE = "metrics.json", "error.json"
AUDIO_FILE, TOKENS_FILE, ENTROPY_FILE = "audio.wav", "tokens.npz", "entropy.npz"
RESULT_FILES = (METRICS_FILE, ERROR_FILE, AUDIO_FILE, TOKENS_FILE, ENTROPY_FILE)


def write_json(path: Path, content: Any) -> None:
    """Writes all of it or nothing. NaN and infinity are refused: JSON has no such numbers."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
