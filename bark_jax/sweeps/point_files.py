"""The folder of one point, by file.

audio.wav       32-bit float, settings inside
tokens.npz      semantic, coarse and fine tokens; a voice for later generations
entropy.npz     bits per step, if asked for
metrics.json    settings, metrics, versions; written last: a folder that has it is complete
error.json      instead of metrics.json, for a point that failed
"""

METRICS_FILE, ERROR_FILE = "metrics.json", "error.json"
AUDIO_FILE, TOKENS_FILE, ENTROPY_FILE = "audio.wav", "tokens.npz", "entropy.npz"
RESULT_FILES = (METRICS_FILE, ERROR_FILE, AUDIO_FILE, TOKENS_FILE, ENTROPY_FILE)
