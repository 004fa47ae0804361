"""Training of the codec: audio through encoder, codebooks and decoder, compared in spectra."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from bark_jax.config import BarkConfig
from bark_jax.data.records import Record
from bark_jax.models import source_filter
from bark_jax.models.binding import bind, init_params
from bark_jax.models.encodec import EnCodec
from bark_jax.params import Params
from bark_jax.training.codec import codebooks
from bark_jax.training.codec.codebooks import CodebookSettings
from bark_jax.training.codec.discriminator import (
    AdversarialSettings,
    adversarial_losses,
    new_discriminators,
)
from bark_jax.training.codec.spectral import SpectralSettings, spectral_distance
from bark_jax.training.tasks.task import Batch, Example, LossSums

HELPER = "discriminator"  # among the parameters while training


@dataclasses.dataclass(frozen=True, kw_only=True)
class CodecTask:
    """Examples are random pieces of recordings. Everything is computed in float32.

    Each row uses a random number of codebooks, so that the first ones alone sound good too: all
    of them, only those of the coarse model, or any number. A new codec first trains without
    codebooks; they then start at its latents.
    """

    cfg: BarkConfig
    crop_s: float = 1.0  # length of a piece
    coarse_share: float = 0.3  # of the rows use the coarse model's codebooks only
    any_share: float = 0.1  # of the rows use any number of codebooks
    start_codebooks: float = 0.03  # share of a run after which new codebooks are set
    waveform: float = 2.0  # weight of the mean |difference| of samples
    pitch: float = 2.0  # weight of a source-filter codec's error in pitch [octaves]
    commitment: float = 0.05  # weight of the latents' distance from their codes
    decoder_only: bool = False  # codes keep their meaning; what was made with them stays valid
    spectral: SpectralSettings = dataclasses.field(default_factory=SpectralSettings)
    codebooks: CodebookSettings = dataclasses.field(default_factory=CodebookSettings)
    adversarial: AdversarialSettings = dataclasses.field(default_factory=AdversarialSettings)

    stage = "codec"
    needs_audio = True
    history_share = 0.0

    def __post_init__(self) -> None:
        windows = self.spectral.windows
        windows += self.adversarial.windows if self.adversarial.is_on else ()
        shortest_s = max(windows) / self.cfg.sample_rate
        if self.crop_s < shortest_s:
            raise ValueError(f"crop_s={self.crop_s}: the longest window alone has {shortest_s} s")
        if min(self.coarse_share, self.any_share) < 0 or self.coarse_share + self.any_share > 1:
            raise ValueError(
                f"coarse_share={self.coarse_share} and any_share={self.any_share} are not shares"
            )
        if not 0 <= self.start_codebooks < 1:
            raise ValueError(f"start_codebooks={self.start_codebooks} is not in [0, 1)")
        for name in ("waveform", "pitch", "commitment"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} is negative")

    @property
    def n_frames(self) -> int:
        """Frames of an example."""
        return max(1, round(self.crop_s * self.cfg.codec.frame_rate_hz))

    def for_evaluation(self) -> "CodecTask":
        return self

    def example(self, record: Record, history: Record | None, rng: np.random.Generator) -> Example:
        """A random piece as `samples` (S,), zeros after its `n_samples`."""
        if record.audio is None:
            raise ValueError(f"record {record.id} has no audio: the codec cannot be trained on it")
        S = self.n_frames * self.cfg.codec.hop_length
        first = rng.integers(max(1, len(record.audio) - S + 1))
        piece = record.audio[first : first + S]
        samples_S = np.zeros(S, np.float32)
        samples_S[: len(piece)] = piece
        return {"samples": samples_S, "n_samples": np.asarray(len(piece), np.int32)}

    def init(self, key: jax.Array) -> Params:
        return init_params(EnCodec, self.cfg.codec, key=key)

    def helpers(self, key: jax.Array) -> Params:
        """The discriminators, if the settings want them."""
        discriminators = new_discriminators(self.adversarial, key)
        return {HELPER: discriminators} if discriminators else {}

    def is_trained(self, name: str) -> bool:
        """Codebooks follow the latents by moving averages instead."""
        parts = {"decoder", HELPER} if self.decoder_only else {"encoder", "decoder", HELPER}
        return name.partition(".")[0] in parts

    def loss(
        self, params: Params, batch: Batch, key: jax.Array | None, progress: jax.Array
    ) -> LossSums:
        """See `Task.loss`. Targets are frames; evaluation also compares the first codebooks alone.

        Without helpers among `params`, and in evaluation, there are no adversarial losses.
        """
        modules = {name: part for name, part in params.items() if name != HELPER}
        codec = bind(EnCodec, self.cfg.codec, params=modules)
        samples_BS, n_samples_B = batch["samples"], batch["n_samples"]
        inside_BS = jnp.arange(samples_BS.shape[1])[None] < n_samples_B[:, None]
        inside_BT = inside_BS[:, :: self.cfg.codec.hop_length].astype(jnp.float32)
        latents_BTL = codec.encoder(samples_BS)
        if self.decoder_only:
            latents_BTL = jax.lax.stop_gradient(latents_BTL)
        quantizer = params["quantizer"]
        updates: Params = {}
        counts: dict[str, jax.Array] = {}
        if key is None:
            n_codebooks_B = jnp.full(len(samples_BS), self.cfg.codec.n_codebooks)
        else:
            key_n, key_start, key_follow = jax.random.split(key, 3)
            n_codebooks_B = self._draw_n_codebooks(key_n, len(samples_BS))
            kept_BTL = jax.lax.stop_gradient(latents_BTL)
            if not self.decoder_only:
                quantizer = self._started(kept_BTL, inside_BT, quantizer, progress, key_start)
        is_set = jnp.all(quantizer["inited"] > 0)
        quantized = codebooks.quantize(latents_BTL, n_codebooks_B, quantizer["embed"])
        given_BTL = jnp.where(is_set, quantized.latents_BTL, latents_BTL)
        if key is not None and isinstance(codec.decoder, source_filter.Decoder):
            decoded_BS, pitch_B = self._at_true_pitch(codec.decoder, given_BTL, samples_BS)
        else:
            decoded_BS, pitch_B = codec.decoder(given_BTL), None
        if key is not None and not self.decoder_only:
            followed, n_chosen_Q = codebooks.follow(
                kept_BTL, quantized.codes_BQT, inside_BT, quantizer, self.codebooks, key_follow
            )
            pick = lambda new, old: jnp.where(is_set, new, old)  # noqa: E731
            updates = {"quantizer": jax.tree.map(pick, followed, quantizer)}
            counts = {"codes_used": jnp.stack([n_chosen_Q.mean(), jnp.float32(1)])}
        sums = self._compare(decoded_BS, samples_BS, inside_BS)
        commitment_B = jnp.where(is_set, (quantized.commitment_BT * inside_BT).mean(1), 0)
        sums["commitment"] = commitment_B
        sums["loss"] = sums["loss"] + self.commitment * commitment_B
        if pitch_B is not None:
            sums["pitch"] = pitch_B
            sums["loss"] = sums["loss"] + self.pitch * pitch_B
        if key is not None and HELPER in params:
            decoded_BS = jnp.where(inside_BS, decoded_BS, 0)
            judged = adversarial_losses(params[HELPER], decoded_BS, samples_BS, self.adversarial)
            sums |= judged
            sums["loss"] += judged["discriminator"]  # moves the discriminators only
            sums["loss"] += self.adversarial.weight * judged["adversarial"]
            sums["loss"] += self.adversarial.features * judged["features"]
        if key is None:
            n_coarse_B = jnp.full(len(samples_BS), self.cfg.tokens.n_coarse_codebooks)
            coarse_BTL = codebooks.quantize(latents_BTL, n_coarse_B, quantizer["embed"]).latents_BTL
            coarse_BS = codec.decoder(jnp.where(is_set, coarse_BTL, latents_BTL))
            spectral_B = self._compare(coarse_BS, samples_BS, inside_BS)["spectral"]
            sums["spectral_coarse"] = spectral_B
        T, n_frames = inside_BT.shape[1], inside_BT.sum()
        return LossSums(
            sums={name: jnp.stack([T * row_B.sum(), n_frames]) for name, row_B in sums.items()}
            | counts,
            updates=updates,
        )

    def _at_true_pitch(
        self, decoder: source_filter.Decoder, latents_BTL: jax.Array, samples_BS: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Audio (B, S) with the pitch of `samples_BS`, and how far off the decoder's own is (B,).

        At another pitch no harmonic would lie where it should, and the filters would learn to blur.
        """
        made = decoder.parameters(latents_BTL)
        true = source_filter.pitch(samples_BS, self.cfg.codec)
        is_voiced_BP = true.similarity_BP > source_filter.VOICED
        octaves_BP = jnp.where(is_voiced_BP, true.octaves_BP, made.octaves_BP)
        decoded_BS, _ = source_filter.synthesize(made, octaves_BP, self.cfg.codec)
        return decoded_BS, jnp.abs(made.octaves_BP - octaves_BP).mean(1)

    def _compare(
        self, decoded_BS: jax.Array, samples_BS: jax.Array, inside_BS: jax.Array
    ) -> dict[str, jax.Array]:
        decoded_BS = jnp.where(inside_BS, decoded_BS, 0)
        spectral_B = spectral_distance(decoded_BS, samples_BS, self.cfg.sample_rate, self.spectral)
        waveform_B = jnp.abs(decoded_BS - samples_BS).mean(1)
        loss_B = spectral_B + self.waveform * waveform_B
        return {"loss": loss_B, "spectral": spectral_B, "waveform": waveform_B}

    def _started(
        self,
        latents_BTL: jax.Array,
        inside_BT: jax.Array,
        quantizer: Params,
        progress: jax.Array,
        key: jax.Array,
    ) -> Params:
        """The quantizer, with unset codebooks set once their time has come."""
        is_due = jnp.any(quantizer["inited"] == 0) & (progress >= self.start_codebooks)
        start = lambda: codebooks.start(latents_BTL, inside_BT, quantizer, key)  # noqa: E731
        return jax.lax.cond(is_due, start, lambda: quantizer)

    def _draw_n_codebooks(self, key: jax.Array, n_rows: int) -> jax.Array:
        """int32 (B,), 1 … n_codebooks."""
        key_kind, key_any = jax.random.split(key)
        every, coarse = self.cfg.codec.n_codebooks, self.cfg.tokens.n_coarse_codebooks
        kind_B = jax.random.uniform(key_kind, (n_rows,))
        any_B = jax.random.randint(key_any, (n_rows,), 1, every + 1)
        some_B = jnp.where(kind_B < self.coarse_share + self.any_share, any_B, every)
        return jnp.where(kind_B < self.coarse_share, coarse, some_B)
