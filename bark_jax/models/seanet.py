"""SEANet: the convolutional encoder and decoder of EnCodec, causal, for whole rows at once.

Axes beyond the package's key: **C** channels into a layer, **N** channels out of it, **W** taps of
its kernel, **E** steps at an edge, **G** = 4C gates of an LSTM; T counts steps at the layer's own
rate. Weights have PyTorch's layouts and stay split into length and direction (weight norm).

Every row has its own length; what lies past it never affects the row, so that a row gives the same
alone and in a batch. Source: facebookresearch/encodec @0e2d0ae, encodec/modules.
"""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from bark_jax.config import CodecConfig

Lengths = jax.Array | None  # (B,) steps of each row; None: all rows are full
Memory = tuple[jax.Array, jax.Array]  # of a layer of the LSTM: h and c, each (B, C)

# Initial gains: from speech, whose samples are about 0.1, to the scale of the layers, and back.
GAIN_IN, GAIN_OUT = 4.0, 0.2
FEW_CHANNELS = 64  # in · out: up to this, a convolution is written as a product, on all backends
BLOCK_COLUMNS = 32  # of such a product


def matmul(x: jax.Array, weight_CN: jax.Array) -> jax.Array:
    """`x @ weight` in full float32 precision on every backend."""
    return jnp.matmul(x, weight_CN, precision=jax.lax.Precision.HIGHEST)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def multiply_rows(x: jax.Array, weight_CN: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The rows of `x`, each C consecutive values in memory, times a matrix; reshaped to `shape`.

    Fast on CPU, forward and backward. The barriers keep element-wise loops from being fused with
    the reshape: they would divide for every element's index and take ten times as long.
    """
    y_RN = matmul(x.reshape(-1, len(weight_CN)), weight_CN)
    return jax.lax.optimization_barrier(y_RN.reshape(shape))


def _multiply_rows_forward(x: jax.Array, weight_CN: jax.Array, shape: tuple[int, ...]):
    return multiply_rows(x, weight_CN, shape), (x, weight_CN)


def _multiply_rows_backward(
    shape: tuple[int, ...], saved: tuple[jax.Array, jax.Array], dy: jax.Array
):
    x, weight_CN = saved
    C, N = weight_CN.shape
    dy_RN, x_RC = jax.lax.optimization_barrier((dy.reshape(-1, N), x.reshape(-1, C)))
    # the narrower factor first: up to four times as fast, and XLA keeps the given order
    dweight_CN = matmul(dy_RN.T, x_RC).T if N < C else matmul(x_RC.T, dy_RN)
    dx = matmul(dy_RN, weight_CN.T).reshape(x.shape)
    return jax.lax.optimization_barrier(dx), dweight_CN


multiply_rows.defvjp(_multiply_rows_forward, _multiply_rows_backward)


@jax.custom_jvp
def elu(x: jax.Array) -> jax.Array:
    """x above 0, eˣ - 1 below; faster than with `expm1`, and within 1e-7 of it."""
    return jnp.where(x > 0, x, jnp.exp(jnp.minimum(x, 0)) - 1)


@elu.defjvp
def _elu_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]):
    y = elu(primals[0])
    return y, tangents[0] * jnp.minimum(y + 1, 1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def mirror(x_BTC: jax.Array, left: int) -> jax.Array:
    """`x_BTC` with `left` < T mirrored steps before the first."""
    return jnp.concatenate([x_BTC[:, 1 : left + 1][:, ::-1], x_BTC], axis=1)


def _mirror_forward(x_BTC: jax.Array, left: int):
    return mirror(x_BTC, left), None


def _mirror_backward(left: int, _: None, dy_BTC: jax.Array):
    """Passes only over the start of the rows twice."""
    dx_BTC = jax.lax.optimization_barrier(dy_BTC[:, left:])
    start_BEC = dx_BTC[:, 1 : left + 1] + dy_BTC[:, :left][:, ::-1]
    return (jax.lax.optimization_barrier(dx_BTC.at[:, 1 : left + 1].set(start_BEC)),)


mirror.defvjp(_mirror_forward, _mirror_backward)


def convolve(x_BTC: jax.Array, weight_NCW: jax.Array, stride: int) -> jax.Array:
    """Convolution without padding: (T - W) // stride + 1 steps."""
    N, C, W = weight_NCW.shape
    if W == stride == 1:
        return multiply_rows(x_BTC, weight_NCW[..., 0].T, (*x_BTC.shape[:2], N))
    if N * C <= FEW_CHANNELS:
        return _convolve_blocks(x_BTC, weight_NCW, stride)
    return jax.lax.conv_general_dilated(
        x_BTC,
        weight_NCW,
        (stride,),
        "VALID",
        dimension_numbers=("NWC", "OIW", "NWC"),
        precision=jax.lax.Precision.HIGHEST,
    )


def _convolve_blocks(x_BTC: jax.Array, weight_NCW: jax.Array, stride: int) -> jax.Array:
    """Convolution of few channels as one product that computes several steps at a time.

    A product of 8 columns leaves a processor idle. So `n` neighbouring steps become columns, and
    the kernel is written `n` times into a larger one, each time `stride` inputs further down.
    """
    N, C, W = weight_NCW.shape
    B, S, _ = x_BTC.shape
    T = (S - W) // stride + 1
    n = max(1, BLOCK_COLUMNS // N)
    blocks, n_in = -(-T // n), n * stride
    span = n_in + W - stride  # inputs that a block's outputs depend on
    more = -(-span // n_in) - 1  # following blocks that hold some of them
    x_BTC = x_BTC[:, : (blocks + more) * n_in]
    x_BTC = jnp.pad(x_BTC, ((0, 0), (0, (blocks + more) * n_in - x_BTC.shape[1]), (0, 0)))
    x_BTX = x_BTC.reshape(B, blocks + more, n_in * C)
    x_BTX = jnp.concatenate(
        [x_BTX[:, i : i + blocks, : (span - i * n_in) * C] for i in range(more + 1)], axis=-1
    )
    weight_WCN = weight_NCW.transpose(2, 1, 0)
    copies = [
        jnp.pad(weight_WCN, ((i * stride, span - W - i * stride), (0, 0), (0, 0))) for i in range(n)
    ]
    weight = jnp.stack(copies, axis=2).reshape(span * C, n * N)
    y_BTN = multiply_rows(x_BTX, weight, (B, blocks * n, N))
    return y_BTN[:, :T]  # pyright: ignore[reportIndexIssue]


def convolve_transposed(
    x_BTC: jax.Array, weight_CNW: jax.Array, stride: int, before_B1C: jax.Array | None = None
) -> jax.Array:
    """Transposed convolution with W = 2·stride, cut to T·stride steps.

    `before_B1C` is the step before the first; zeros if it is not given.

    Block n of the output comes from input n (first half of the kernel) and n - 1 (second half):
    one product. On CPU, XLA's own transposed convolution is up to twice as slow, and its gradients
    are four to twenty times as slow.
    """
    B, T, C = x_BTC.shape
    N = weight_CNW.shape[1]
    if before_B1C is None:
        before_B1C = jnp.zeros((B, 1, C), x_BTC.dtype)
    late_BTC = jnp.concatenate([before_B1C, x_BTC[:, :-1]], axis=1)
    weight = weight_CNW.reshape(C, N, 2, stride).transpose(2, 0, 3, 1)
    both = jnp.concatenate([x_BTC, late_BTC], axis=-1)
    return multiply_rows(both, weight.reshape(2 * C, stride * N), (B, T * stride, N))


def pad_reflect(x_BTC: jax.Array, length_B: Lengths, left: int, stride: int = 1) -> jax.Array:
    """Mirrors `left` steps before each row, and enough steps after it to fill its last stride.

    A row of at most `left` steps is taken to be followed by zeros, which are mirrored with it.
    `stride` is 1 or at most `left`. Without `length_B` all rows fill T.
    """
    B, T = x_BTC.shape[:2]
    if length_B is None and T > left and T % stride == 0:
        return mirror(x_BTC, left)
    length_B = jnp.full(B, T) if length_B is None else length_B
    if stride > 1:
        behind_1E = jnp.arange(stride - 1)[None]
        mirrored_BE = jnp.maximum(length_B[:, None] - 2 - behind_1E, 0)
        tail_BEC = jnp.take_along_axis(x_BTC, mirrored_BE[..., None], axis=1)
        tail_BEC = jnp.where(length_B[:, None, None] > left, tail_BEC, 0)
        x_BTC = jnp.pad(x_BTC, ((0, 0), (0, -T % stride), (0, 0)))
        rows = jnp.arange(B)[:, None]
        x_BTC = x_BTC.at[rows, length_B[:, None] + behind_1E].set(tail_BEC, mode="drop")
    if left == 0:
        return x_BTC
    missing = max(0, left + 1 - x_BTC.shape[1])
    head_BEC = jnp.pad(x_BTC[:, 1 : left + 1], ((0, 0), (0, missing), (0, 0)))
    inside_BE = jnp.arange(1, left + 1)[None] < length_B[:, None]
    head_BEC = jnp.where(inside_BE[..., None], head_BEC, 0)
    return jnp.concatenate([head_BEC[:, ::-1], x_BTC], axis=1)


class WeightNorm(nnx.Module):
    """A kernel as direction v and length g, one length per index of its first axis, and a bias.

    For a convolution (N, C, W) that is a length per output channel, for a transposed one
    (C, N, W) per *input* channel, as is PyTorch's default.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        n_bias: int,
        std: float,
        gain: float = 1,
        *,
        rngs: nnx.Rngs,
    ) -> None:
        weight = jax.random.normal(rngs.params(), shape) * std
        self.weight_g = nnx.Param(gain * jnp.linalg.norm(weight, axis=(1, 2), keepdims=True))
        self.weight_v = nnx.Param(weight)
        self.bias = nnx.Param(jnp.zeros(n_bias))

    def weight(self) -> jax.Array:
        """The kernel, g · v / ‖v‖."""
        v = self.weight_v[...]
        return v * (self.weight_g[...] / jnp.linalg.norm(v, axis=(1, 2), keepdims=True))


class Conv(nnx.Module):
    """Causal convolution; a new one scales the signal by about `gain` (std = 1/√fan-in)."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: int,
        stride: int = 1,
        *,
        gain: float = 1,
        rngs: nnx.Rngs,
    ) -> None:
        self.kernel, self.stride = kernel, stride
        std = 1 / math.sqrt(n_in * kernel)
        self.conv = WeightNorm((n_out, n_in, kernel), n_out, std, gain, rngs=rngs)

    def __call__(self, x_BTC: jax.Array, length_B: Lengths) -> tuple[jax.Array, Lengths]:
        x_BTC = pad_reflect(x_BTC, length_B, self.kernel - self.stride, self.stride)
        y_BTN = convolve(x_BTC, self.conv.weight(), self.stride) + self.conv.bias[None, None]
        return y_BTN, None if length_B is None else -(-length_B // self.stride)


class ConvTranspose(nnx.Module):
    """Causal upsampling by `stride`; a new one keeps the signal's scale (std = 1/√(2·n_in))."""

    def __init__(self, n_in: int, n_out: int, stride: int, *, rngs: nnx.Rngs) -> None:
        self.stride = stride
        std = 1 / math.sqrt(2 * n_in)
        self.conv = WeightNorm((n_in, n_out, 2 * stride), n_out, std, rngs=rngs)

    def __call__(self, x_BTC: jax.Array, length_B: Lengths) -> tuple[jax.Array, Lengths]:
        y_BTN = convolve_transposed(x_BTC, self.conv.weight(), self.stride)
        return y_BTN + self.conv.bias[
            None, None
        ], None if length_B is None else length_B * self.stride


class Residual(nnx.Module):
    """Two convolutions, half as wide in between, plus a 1×1 shortcut."""

    def __init__(self, width: int, kernel: int, *, rngs: nnx.Rngs) -> None:
        self.block = nnx.Dict({
            "1": Conv(width, width // 2, kernel, rngs=rngs),
            "3": Conv(width // 2, width, 1, rngs=rngs),
        })  # fmt: skip
        self.shortcut = Conv(width, width, 1, rngs=rngs)

    def __call__(self, x_BTC: jax.Array, length_B: Lengths) -> tuple[jax.Array, Lengths]:
        y_BTC, _ = self.block["1"](elu(x_BTC), length_B)
        y_BTC, _ = self.block["3"](elu(y_BTC), length_B)
        return self.shortcut(x_BTC, length_B)[0] + y_BTC, length_B


class LSTM(nnx.Module):
    """LSTM layers with a residual connection around all; gates i, f, g, o as in PyTorch."""

    def __init__(self, width: int, n_layers: int, *, rngs: nnx.Rngs) -> None:
        self.n_layers = n_layers
        bound = 1 / math.sqrt(width)  # PyTorch's initial values, except for the zero biases

        def uniform() -> nnx.Param[jax.Array]:
            shape = (4 * width, width)
            return nnx.Param(jax.random.uniform(rngs.params(), shape, minval=-bound, maxval=bound))

        self.lstm = nnx.Dict()
        for n in range(n_layers):
            self.lstm[f"weight_ih_l{n}"] = uniform()
            self.lstm[f"weight_hh_l{n}"] = uniform()
            self.lstm[f"bias_ih_l{n}"] = nnx.Param(jnp.zeros(4 * width))
            self.lstm[f"bias_hh_l{n}"] = nnx.Param(jnp.zeros(4 * width))

    def __call__(self, x_BTC: jax.Array, length_B: Lengths) -> tuple[jax.Array, Lengths]:
        zero_BC = jnp.zeros_like(x_BTC[:, 0])
        return self.run(x_BTC, [(zero_BC, zero_BC)] * self.n_layers)[0], length_B

    def run(
        self, x_BTC: jax.Array, begin: Sequence[Memory]
    ) -> tuple[jax.Array, tuple[Memory, ...]]:
        """The output, and what every layer remembers at the end, from what it does at the begin."""
        y_TBC = x_TBC = x_BTC.transpose(1, 0, 2)
        end: list[Memory] = []
        for n, memory in enumerate(begin):
            memory, y_TBC = self._layer(y_TBC, n, memory)
            end.append(memory)
        return (x_TBC + y_TBC).transpose(1, 0, 2), tuple(end)

    def _layer(self, x_TBC: jax.Array, n: int, begin: Memory) -> tuple[Memory, jax.Array]:
        # the input products of all steps at once: only the recurrent half must run step by step
        bias_G = self.lstm[f"bias_ih_l{n}"][...] + self.lstm[f"bias_hh_l{n}"][...]
        input_TBG = matmul(x_TBC, self.lstm[f"weight_ih_l{n}"][...].T) + bias_G[None, None]
        weight_CG = self.lstm[f"weight_hh_l{n}"][...].T

        def step(carry: Memory, input_BG: jax.Array):
            h_BC, c_BC = carry
            i, f, g, o = jnp.split(input_BG + matmul(h_BC, weight_CG), 4, axis=-1)
            c_BC = jax.nn.sigmoid(f) * c_BC + jax.nn.sigmoid(i) * jnp.tanh(g)
            h_BC = jax.nn.sigmoid(o) * jnp.tanh(c_BC)
            return (h_BC, c_BC), h_BC

        return jax.lax.scan(step, begin, input_TBG)


class _Sequence(nnx.Module):
    """Layers under the checkpoint's indices, where an index without parameters is an ELU."""

    def __init__(self, layers: list[nnx.Module | None]) -> None:
        self.n_layers = len(layers)
        self.layers = nnx.Dict({str(i): m for i, m in enumerate(layers) if m is not None})

    def _run(self, x_BTC: jax.Array, length_B: Lengths) -> jax.Array:
        for name in map(str, range(self.n_layers)):
            if name in self.layers:
                x_BTC, length_B = self.layers[name](x_BTC, length_B)
            else:
                x_BTC = elu(x_BTC)
        return x_BTC


class Encoder(_Sequence):
    """Audio to latents."""

    def __init__(self, cfg: CodecConfig, *, rngs: nnx.Rngs) -> None:
        width = cfg.n_filters
        layers: list[nnx.Module | None] = [Conv(1, width, cfg.kernel_size, gain=GAIN_IN, rngs=rngs)]
        for ratio in reversed(cfg.ratios):
            layers += [
                Residual(width, cfg.residual_kernel_size, rngs=rngs),
                None,
                Conv(width, 2 * width, 2 * ratio, ratio, rngs=rngs),
            ]
            width *= 2
        if cfg.n_lstm:
            layers.append(LSTM(width, cfg.n_lstm, rngs=rngs))
        layers += [None, Conv(width, cfg.latent_dim, cfg.kernel_size, rngs=rngs)]
        super().__init__(layers)

    def __call__(self, samples_BS: jax.Array, length_B: Lengths = None) -> jax.Array:
        """Latents (B, ceil(S / hop), L); a row's first ceil(length / hop) are valid."""
        return self._run(samples_BS[..., None], length_B)


class Decoder(_Sequence):
    """Latents to audio."""

    def __init__(self, cfg: CodecConfig, *, rngs: nnx.Rngs) -> None:
        width = cfg.n_filters * 2 ** len(cfg.ratios)
        layers: list[nnx.Module | None] = [Conv(cfg.latent_dim, width, cfg.kernel_size, rngs=rngs)]
        if cfg.n_lstm:
            layers.append(LSTM(width, cfg.n_lstm, rngs=rngs))
        for ratio in cfg.ratios:
            layers += [
                None,
                ConvTranspose(width, width // 2, ratio, rngs=rngs),
                Residual(width // 2, cfg.residual_kernel_size, rngs=rngs),
            ]
            width //= 2
        layers += [None, Conv(width, 1, cfg.kernel_size, gain=GAIN_OUT, rngs=rngs)]
        super().__init__(layers)

    def __call__(self, latents_BTL: jax.Array, length_B: Lengths = None) -> jax.Array:
        """Audio (B, T · hop), not clipped; a row's first length · hop samples are valid."""
        return self._run(latents_BTL, length_B)[..., 0]
