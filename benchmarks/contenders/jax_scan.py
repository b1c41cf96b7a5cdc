"""JAX by hand: one compiled scan over the batches of an epoch, Adam written out."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import protocol

told = protocol.task()
x = jnp.asarray(protocol.images(told.data))
steps = len(x) // told.batch
rng = np.random.default_rng(0)


def layers(sizes):
    return [
        (
            jnp.asarray(rng.uniform(-1, 1, (a, b)) / np.sqrt(a), jnp.float32),
            jnp.asarray(rng.uniform(-1, 1, b) / np.sqrt(a), jnp.float32),
        )
        for a, b in itertools.pairwise(sizes)
    ]


def linear(h, W, b):
    if told.precision == "float32":
        return h @ W + b
    return jnp.dot(h.astype(jnp.bfloat16), W.astype(jnp.bfloat16)).astype(jnp.float32) + b


def mlp(layers, h):
    for W, b in layers[:-1]:
        h = jax.nn.relu(linear(h, W, b))
    return linear(h, *layers[-1])


def loss(params, x, key):
    encoder, decoder = params
    mean, log_variance = jnp.split(mlp(encoder, x), 2, 1)
    z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
    logits = mlp(decoder, z)
    bce = jnp.sum(jnp.maximum(logits, 0) - logits * x + jnp.log1p(jnp.exp(-jnp.abs(logits))), 1)
    kl = 0.5 * jnp.sum(jnp.exp(log_variance) + mean**2 - 1 - log_variance, 1)
    return jnp.mean(bce + kl)


def step(carry, given):
    indices, rate = given
    params, average, m, v, t, key = carry
    key, noise = jax.random.split(key)
    value, g = jax.value_and_grad(loss)(params, x[indices].astype(jnp.float32) / 255, noise)
    t = t + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    rate = rate * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), params, m, v)
    if told.average:
        average = jax.tree.map(lambda a, p: a + (1 - told.average) * (p - a), average, params)
    return (params, average, m, v, t, key), value


@jax.jit
def epoch(carry, order, rates):
    return jax.lax.scan(step, carry, (order, rates))


params = tuple(map(layers, protocol.sizes(told)))
protocol.check_parameters(told, sum(p.size for p in jax.tree.leaves(params)))
zeros = jax.tree.map(jnp.zeros_like, params)
average = params if told.average else None
carry = (params, average, zeros, zeros, jnp.zeros(()), jax.random.key(0))
rates = jnp.asarray(protocol.rates(told, steps), jnp.float32).reshape(told.epochs, steps)
report = protocol.Reporter()
for number in range(told.epochs):
    order = jnp.asarray(rng.permutation(len(x))[: steps * told.batch].reshape(steps, told.batch))
    carry, values = epoch(carry, order, rates[number])
    report(steps * told.batch, values.mean())
if told.validation:
    y = jnp.asarray(protocol.images(told.validation), jnp.float32) / 255
    trained = carry[1] if told.average else carry[0]
    report.validated(jax.jit(loss)(trained, y, jax.random.key(1)))
