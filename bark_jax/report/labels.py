"""Labels of the metrics: name, unit, and what they tell."""

from typing import Any

LABELS: dict[str, tuple[str, str, str]] = {  # name: (label, unit, what it tells)
    "wer": ("word error rate", "", "wrong, missing and added words over words meant"),
    "word_errors": ("word errors", "", "wrong, missing and added words"),
    "duration_s": ("duration", "s", "of the audio"),
    "loudness_lufs": ("loudness", "LUFS", "integrated, ITU-R BS.1770-4"),
    "peak": ("peak", "", "greatest sample; above 1 it clips"),
    "clipped_share": ("clipped", "", "share of samples at or beyond full scale"),
    "leading_silence_s": ("silence before", "s", "before the first sound"),
    "trailing_silence_s": ("silence after", "s", "after the last sound"),
    "inner_silence_s": ("pauses", "s", "silence between sounds"),
    "f0_median_hz": ("median F0", "Hz", "pitch of the voice, half of the frames are below"),
    "f0_low_hz": ("low F0", "Hz", "5th percentile of pitch"),
    "f0_high_hz": ("high F0", "Hz", "95th percentile of pitch"),
    "voiced_share": ("voiced", "", "share of frames with a pitch"),
    "spectral_flatness": ("spectral flatness", "", "0 for a tone, 0.56 for white noise"),
    "words_per_s": ("speaking rate", "words/s", "words of the text per second of sound"),
    "letters_per_s": ("speaking rate", "letters/s", "letters of the text per second of sound"),
    "semantic_entropy_bits": ("semantic entropy", "bit", "mean over steps; 0 is certain"),
    "coarse_entropy_bits": ("coarse entropy", "bit", "mean over steps; 0 is certain"),
    "mark_words": ("word accuracy", "", "1 minus the word error rate"),
    "mark_likelihood": ("likelihood", "nat", "mean log-probability of a semantic token"),
    "mark_dnsmos": ("DNSMOS", "", "predicted opinion of listeners, 1 to 5"),
    "mark_likeness": ("likeness to the voice", "", "cosine of speaker embeddings, 0 to 1"),
    "generation_s": ("time", "s", "of all stages, of the batch that the point was in"),
}
STAGE_LABELS = {
    "tokens": ("tokens", "", "drawn"),
    "log_p": ("log-probability", "nat", "mean of a token, under the model itself"),
    "tokens_per_s": ("speed", "tokens/s", "of this point within its batch"),
    "repeat_share": ("repetition", "", "share of steps equal to the one before"),
    "longest_run": ("longest run", "steps", "of equal tokens"),
    "finish": ("end", "", "why the stage stopped"),
}
FINISH = {  # reason: words
    "eos": "by itself",
    "max_duration": "cut off at the wanted length",
    "max_tokens": "cut off at the greatest length",
    "input_done": "with its input",
    "no_input": "had no input",
}


def label_of(name: str) -> dict[str, Any]:
    """Label, unit and help of a result, and words for its values; its own name without a label."""
    stage, _, rest = name.partition("_")
    label, unit, text = LABELS.get(name) or STAGE_LABELS.get(rest) or (name, "", "")
    if name not in LABELS and rest in STAGE_LABELS:
        label = f"{stage} {label}"
    return {"label": label, "unit": unit, "help": text, "words": FINISH if rest == "finish" else {}}
