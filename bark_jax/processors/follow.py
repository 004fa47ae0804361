"""Holds the semantic stage to the phones of its text, where its tokens are states of phones.

The model alone decides how long a phone and a pause last; which phone comes next is known from the
pronouncing dictionary. Whatever it thinks likely instead of the next phone counts for the next one.
"""

import flax.struct
import jax
import jax.numpy as jnp

from bark_jax.processors.context import NO_ID, DrawContext

MOST_TOKENS = 14  # of one phone or pause: no voice holds one for longer


@flax.struct.dataclass
class FollowPhones:
    """Draws the states of given phones in their order, pauses where they may be, and then the end.

    A token is a speaker's phone in one of its states: `(speaker · n_phones + phone) · states +
    state`. A phone begins where the phone changes, or where its states start over.
    """

    phones: tuple[int, ...] | jax.Array  # of a row, without silence
    may_pause: tuple[int, ...] | jax.Array  # 1 where silence may follow the phone
    silence: int = flax.struct.field(pytree_node=False)
    n_phones: int = flax.struct.field(pytree_node=False)  # silence included
    states: int = flax.struct.field(pytree_node=False)

    def check(self, n_ids: int) -> None:
        """Nothing that a user could set wrongly: the pipeline makes these."""

    def __call__(self, logits_BV: jax.Array, context: DrawContext) -> jax.Array:
        phones_BN, may_pause_BN = jnp.asarray(self.phones), jnp.asarray(self.may_pause)
        B, V = logits_BV.shape
        end_id = V - 1 if context.end_id is None else context.end_id
        n_sets = end_id // (self.n_phones * self.states)
        shape = (B, n_sets, self.n_phones, self.states)
        n_used = n_sets * self.n_phones * self.states
        seen = self._seen(context)

        # the logits as (speaker, phone, state), in natural logarithms of unnormalized shares
        logits_BSPK = logits_BV[:, :n_used].reshape(shape)
        ids_SPK = jnp.arange(n_used).reshape(shape[1:])
        unit_SPK, state_SPK = ids_SPK // self.states, ids_SPK % self.states
        phone_P = jnp.arange(self.n_phones)
        is_silence_BSPK = jnp.broadcast_to((phone_P == self.silence)[None, None, :, None], shape)

        is_same_BSPK = unit_SPK[None] == _wide(seen.unit_B)
        stays_BSPK = is_same_BSPK & (state_SPK[None] >= _wide(seen.state_B))
        stays_BSPK &= _wide(seen.length_B < MOST_TOKENS)

        N = phones_BN.shape[1]
        n_text_B = (phones_BN != NO_ID).sum(1)
        next_B = jnp.take_along_axis(phones_BN, jnp.minimum(seen.n_phones_B, N - 1)[:, None], 1)[
            :, 0
        ]
        is_left_B = seen.n_phones_B < n_text_B
        before_B = jnp.clip(seen.n_phones_B - 1, 0, N - 1)
        may_B = jnp.take_along_axis(may_pause_BN, before_B[:, None], 1)[:, 0] > 0
        is_silent_B = seen.unit_B % self.n_phones == self.silence
        may_B = (may_B | (seen.n_phones_B == 0)) & ~(is_silent_B & (seen.unit_B >= 0))

        # all that leaves the phone for another one, by state, goes to the next phone
        leaves_BSPK = ~is_same_BSPK & (~is_silence_BSPK | ~_wide(may_B))
        shares_BSPK = jnp.where(leaves_BSPK, logits_BSPK, -jnp.inf)
        total_BSK = jax.nn.logsumexp(shares_BSPK, axis=2)
        is_next_BSPK = (phone_P[None] == next_B[:, None])[:, None, :, None] & _wide(is_left_B)
        is_next_BSPK = is_next_BSPK & ~(is_same_BSPK & (state_SPK[None] >= _wide(seen.state_B)))
        is_pause_BSPK = is_silence_BSPK & _wide(may_B)

        made_BSPK = jnp.where(is_pause_BSPK, logits_BSPK, -jnp.inf)
        made_BSPK = jnp.where(is_next_BSPK, total_BSK[:, :, None], made_BSPK)
        made_BSPK = jnp.where(stays_BSPK, logits_BSPK, made_BSPK)
        made_BV = jnp.full_like(logits_BV, -jnp.inf).at[:, :n_used].set(made_BSPK.reshape(B, -1))

        # after the last phone what would leave it ends the speech
        rest_B = jnp.logaddexp(logits_BV[:, end_id], jax.nn.logsumexp(total_BSK, axis=(1, 2)))
        end_B = jnp.where(is_silent_B | ~may_B, rest_B, logits_BV[:, end_id])
        is_closed_B = is_left_B | jnp.isneginf(logits_BV[:, end_id])
        made_BV = made_BV.at[:, end_id].set(jnp.where(is_closed_B, -jnp.inf, end_B))
        # where nothing is allowed, such as at a phone's repetition in its first state, all is
        is_stuck_B1 = ~jnp.isfinite(made_BV).any(1, keepdims=True)
        # and so is the only id that the processors before have left
        is_forced_B1 = jnp.isfinite(logits_BV).sum(1, keepdims=True) == 1
        return jnp.where(is_stuck_B1 | is_forced_B1, logits_BV, made_BV)

    def _seen(self, context: DrawContext) -> "_Seen":
        tokens_BN = context.tokens_BN
        tokens_BN = jnp.pad(tokens_BN, ((0, 0), (1, 0)), constant_values=NO_ID)
        is_drawn_BN = tokens_BN >= 0
        unit_BN = jnp.where(is_drawn_BN, tokens_BN // self.states, NO_ID)
        state_BN = jnp.where(is_drawn_BN, tokens_BN % self.states, 0)
        begins_BN = (unit_BN[:, 1:] != unit_BN[:, :-1]) | (state_BN[:, 1:] < state_BN[:, :-1])
        begins_BN &= is_drawn_BN[:, 1:]
        is_phone_BN = unit_BN[:, 1:] % self.n_phones != self.silence
        n_drawn_B = is_drawn_BN.sum(1)
        place_N = jnp.arange(begins_BN.shape[1])
        begun_B = jnp.where(begins_BN, place_N[None], 0).max(1, initial=0)
        last_B1 = n_drawn_B[:, None]  # the padding counts from one
        return _Seen(
            n_phones_B=(begins_BN & is_phone_BN).sum(1),
            unit_B=jnp.take_along_axis(unit_BN, last_B1, 1)[:, 0],
            state_B=jnp.take_along_axis(state_BN, last_B1, 1)[:, 0],
            length_B=n_drawn_B - begun_B,
        )


@flax.struct.dataclass
class _Seen:
    """What each row has drawn."""

    n_phones_B: jax.Array  # begun, without silence
    unit_B: jax.Array  # speaker and phone of the last token; NO_ID before the first
    state_B: jax.Array  # of the last token
    length_B: jax.Array  # tokens since its phone began


def _wide(values_B: jax.Array) -> jax.Array:
    return values_B[:, None, None, None]
