#!/usr/bin/env python3
"""Makes payloads of real gradients and activations: trains a small transformer on text and writes what one step has in
its hands.

  make_training.py FOLDER TEXT...            the four small files that are committed here (README.md)
  make_training.py FOLDER TEXT... --whole    everything of that step: 19 MB of gradients, 84 MB of activations in all

The model reads bytes and foretells the next one: 4 layers of width 256, 4 heads, 3.3 million weights. It is trained in
float32 with Adam; then one batch goes forward and back twice from the same weights, computed in float32 and in bfloat16
(but for softmax and loss). Gradients are those of all matrices; activations are what each layer keeps for its backward pass: its
normalised inputs, queries, keys, values, what attention gives, and the hidden values behind GELU.
Needs JAX (pip install jax, on the processor); the default of 300 steps takes some minutes on two cores.
"""

import argparse
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

LAYERS, WIDTH, HEADS, CONTEXT, BATCH = 4, 256, 4, 128, 16
RUN = 16384  # elements in a row from one tensor: sixteen tiles, as make_weights.py takes them


def matrices(key):
    shapes = {"embedding": (256, WIDTH), "place": (CONTEXT, WIDTH), "output": (WIDTH, 256)}
    for i in range(LAYERS):
        shapes |= {f"{i}.attention": (WIDTH, 3 * WIDTH), f"{i}.mix": (WIDTH, WIDTH),
                   f"{i}.up": (WIDTH, 4 * WIDTH), f"{i}.down": (4 * WIDTH, WIDTH)}
    keys = jax.random.split(key, len(shapes))
    return {name: 0.02 * jax.random.normal(k, shape) for k, (name, shape) in zip(keys, shapes.items())}


def normalised(x):
    x = x - x.mean(-1, keepdims=True)
    return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5)


def forward(weights, tokens, kept=None):
    """Logits of the next byte; appends activations to `kept`. Computes in the type of the weights."""
    keep = kept.append if kept is not None else lambda _: None
    x = weights["embedding"][tokens] + weights["place"]
    mask = jnp.tril(jnp.ones((CONTEXT, CONTEXT), bool))
    for i in range(LAYERS):
        inside = normalised(x)
        keep(inside)
        heads = (inside @ weights[f"{i}.attention"]).reshape(*tokens.shape, 3, HEADS, WIDTH // HEADS)
        keep(heads)
        q, k, v = heads[:, :, 0], heads[:, :, 1], heads[:, :, 2]
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * (WIDTH // HEADS) ** -0.5
        share = jax.nn.softmax(jnp.where(mask, scores.astype(jnp.float32), -1e30)).astype(x.dtype)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", share, v).reshape(x.shape)
        keep(mixed)
        x = x + mixed @ weights[f"{i}.mix"]
        inside = normalised(x)
        keep(inside)
        hidden = jax.nn.gelu(inside @ weights[f"{i}.up"])
        keep(hidden)
        x = x + hidden @ weights[f"{i}.down"]
    return normalised(x) @ weights["output"]


def loss(weights, batch):
    logits = forward(weights, batch[:, :-1]).astype(jnp.float32)
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), batch[:, 1:, None], -1).mean()


@jax.jit
def step(weights, first, second, number, batch):
    value, gradients = jax.value_and_grad(loss)(weights, batch)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
    second = jax.tree.map(lambda v, g: 0.99 * v + 0.01 * g * g, second, gradients)
    rate = 1e-3 * jnp.minimum(1, number / 50)
    weights = jax.tree.map(
        lambda w, m, v: w - rate * (m / (1 - 0.9**number)) / (jnp.sqrt(v / (1 - 0.99**number)) + 1e-8),
        weights, first, second)
    return weights, first, second, value


def runs(tensors, count):
    """`count` runs, evenly spread over all of the tensors that are at least one long; None: everything."""
    flat = np.concatenate([np.asarray(t).reshape(-1) for t in tensors if t.size >= RUN])
    if count is None:
        return flat
    there = flat.size // RUN
    return np.concatenate([flat[there * i // count * RUN :][:RUN] for i in range(count)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("text", type=pathlib.Path, nargs="+")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)  # not first after minutes of training
    text = np.frombuffer(b"".join(path.read_bytes() for path in options.text), np.uint8)
    random = np.random.default_rng(1)

    def batch():
        starts = random.integers(0, text.size - CONTEXT - 1, BATCH)
        return jnp.asarray(np.stack([text[at : at + CONTEXT + 1] for at in starts]).astype(np.int32))

    weights = matrices(jax.random.key(1))
    first = second = jax.tree.map(jnp.zeros_like, weights)
    for number in range(1, options.steps + 1):
        weights, first, second, value = step(weights, first, second, number, batch())
        if number % 50 == 0 or number == 1:
            print(f"step {number}: loss {value:.3f}", flush=True)

    last = batch()
    for suffix, dtype, count in (("bf16", jnp.bfloat16, 6), ("fp32", jnp.float32, 4)):
        turned = jax.tree.map(lambda w: w.astype(dtype), weights)
        gradients, kept = jax.grad(loss)(turned, last), []
        forward(turned, last[:, :-1], kept)
        for name, tensors in (("gradients", list(gradients.values())), ("activations", kept)):
            assert all(t.dtype == dtype for t in tensors)
            elements = runs(tensors, None if options.whole else count)
            (options.folder / f"{name}.{suffix}").write_bytes(elements.tobytes())
            print(f"{name}.{suffix}: {elements.size} elements")


if __name__ == "__main__":
    main()
