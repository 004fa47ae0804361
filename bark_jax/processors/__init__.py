"""What may change a stage's logits before a token is drawn from them.

>>> from bark_jax.processors import Ban, MinP
>>> bark.generate("hello", sampling={"semantic": {"processors": [MinP(0.05), Ban([17])]}})

A processor is a `flax.struct.dataclass` that can be called: `(logits_BV, context) -> logits_BV`,
pure. It is made with the values of one row; when it is called, every field is an array with one
entry per row, so that rows differ in their values and new values compile nothing.
"""

from bark_jax.processors.context import DrawContext
from bark_jax.processors.filters import MinP, TopK, TopP, Typical
from bark_jax.processors.forced import Force
from bark_jax.processors.penalties import Ban, Bias, MinLength, RepetitionPenalty

__all__ = [  # noqa: RUF022  # in groups
    # they drop unlikely ids
    "TopP",
    "TopK",
    "MinP",
    "Typical",
    # they make some ids likelier, less likely, or impossible
    "Bias",
    "Ban",
    "RepetitionPenalty",
    "MinLength",
    # it leaves none of the choice
    "Force",
    # what a processor is called with
    "DrawContext",
]
