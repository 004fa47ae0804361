"""A WAV file that is read while it is written."""

import struct

UNKNOWN = 0xFFFFFFFF  # a size in a header: read to the end
FLOAT = 3  # WAVE_FORMAT_IEEE_FLOAT
SAMPLE_BYTES = 4
AFTER_SIZE = 50  # bytes of the header that the first size counts, beside the samples


def wav_header(sample_rate: int, n_samples: int | None) -> bytes:
    """What comes before the samples of a mono 32-bit float WAV, little endian.

    `n_samples` None, or more of them than a WAV can hold: all sizes say that they are not known.
    """
    n_bytes = UNKNOWN if n_samples is None else n_samples * SAMPLE_BYTES
    if n_bytes + AFTER_SIZE > UNKNOWN:
        whole = data = count = UNKNOWN
    else:
        whole, data, count = n_bytes + AFTER_SIZE, n_bytes, n_bytes // SAMPLE_BYTES
    rate = sample_rate * SAMPLE_BYTES
    return b"".join(
        (
            struct.pack("<4sI4s", b"RIFF", whole, b"WAVE"),
            struct.pack("<4sIHHIIHHH", b"fmt ", 18, FLOAT, 1, sample_rate, rate, 4, 32, 0),
            struct.pack("<4sII", b"fact", 4, count),
            struct.pack("<4sI", b"data", data),
        )
    )
