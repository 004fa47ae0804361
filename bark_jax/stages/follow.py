"""From a text's pieces to the processor that holds the semantic stage to its phones."""

from collections.abc import Sequence

import numpy as np

from bark_jax.config import TokenLayout
from bark_jax.processors.context import NO_ID
from bark_jax.processors.follow import FollowPhones
from bark_jax.sampling_config import Chain, Rows
from bark_jax.text import Tokenizer, piece_ids

SILENCE, STATES = "pau", 3  # flite's name of a pause; thirds of phones
ALONE = {"ey": "ax"}  # words of one phone that sentences have otherwise: "a"


def rows_that_follow(
    rows: Rows,
    texts: Sequence[str],
    tokenizer: Tokenizer,
    layout: TokenLayout,
    names: Sequence[str],
) -> Rows:
    """The rows' sampling, each with the processor of its text after its own processors.

    A text with a word of letters, neither known nor guessed, is left to the model alone; what the
    vocabulary lacks is passed over.

    Args:
      names: what the model's semantic tokens are thirds of, such as "rms/aa"; every speaker has
        the same phones in the same order.
    """
    chains = [
        Chain((*Chain.of(chain).processors, *_processors(text, tokenizer, layout, names)))
        for chain, text in zip(rows["processors"], texts, strict=True)
    ]
    return {**rows, "processors": chains}


def _processors(
    text: str, tokenizer: Tokenizer, layout: TokenLayout, names: Sequence[str]
) -> list[FollowPhones]:
    common = list(dict.fromkeys(name.rpartition("/")[2] for name in names))
    ids = piece_ids(tokenizer, text, layout)[: layout.text_length]
    phones: list[int] = []
    may_pause: list[int] = []
    found = [tokenizer.phone_of(index) for index in ids]
    for at, (index, phone) in enumerate(zip(ids, found, strict=True)):
        if phone is None:
            if tokenizer.is_said(index):  # by the model alone; what the vocabulary lacks by nobody
                return []
            if may_pause:
                may_pause[-1] = 1
            continue
        name, is_first = phone
        following = found[at + 1] if at + 1 < len(found) else None
        is_alone = is_first and (following is None or following[1])
        phones.append(common.index(ALONE.get(name, name) if is_alone else name))
        may_pause.append(0)
    if not phones:
        return []
    may_pause[-1] = 1
    empty = layout.text_length - len(phones)  # one shape for all texts, and so one program
    return [
        FollowPhones(
            phones=np.pad(np.array(phones, np.int32), (0, empty), constant_values=NO_ID),  # pyright: ignore
            may_pause=np.pad(np.array(may_pause, np.int32), (0, empty)),  # pyright: ignore
            silence=common.index(SILENCE),
            n_phones=len(common),
            states=STATES,
        )
    ]
