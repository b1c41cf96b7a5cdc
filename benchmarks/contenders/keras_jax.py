"""Keras 3 on JAX: a functional model, a sampling layer that adds its KL, `fit`."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import keras
import protocol
from keras import layers, ops

told = protocol.task()
keras.utils.set_random_seed(0)
if told.precision == "bfloat16":
    keras.config.set_dtype_policy("mixed_bfloat16")


def pixels(path):
    return protocol.images(path).astype("float32") / 255


x = pixels(told.data)


class Sampling(layers.Layer):
    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, heads):
        mean, log_variance = ops.split(ops.cast(heads, "float32"), 2, axis=1)
        kl = 0.5 * ops.sum(ops.exp(log_variance) + mean**2 - 1 - log_variance, axis=1)
        self.add_loss(ops.mean(kl))
        noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
        return mean + ops.exp(0.5 * log_variance) * noise


def bce(x, logits):
    logits = ops.cast(logits, "float32")
    return ops.sum(ops.binary_crossentropy(x, logits, from_logits=True), axis=1)


class Report(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.report = protocol.Reporter()

    def on_epoch_end(self, epoch, logs=None):
        self.report(len(x), logs["loss"])


def mlp(h, widths):
    for width in widths[:-1]:
        h = layers.Dense(width, activation="relu")(h)
    return layers.Dense(widths[-1])(h)


encoder, decoder = protocol.sizes(told)
h = given = keras.Input((784,))
if told.channels:
    h = layers.Reshape((28, 28, 1))(h)
    for channels in told.channels:
        h = layers.Conv2D(channels, protocol.KERNEL, activation="relu")(h)
    h = layers.Flatten()(h)
h = mlp(Sampling()(mlp(h, encoder[1:])), decoder[1:])
if told.channels:
    side = protocol.side(told, len(told.channels))
    h = layers.Reshape((side, side, told.channels[-1]))(h)
    for channels in [1, *told.channels][-2::-1]:
        h = layers.Conv2DTranspose(channels, protocol.KERNEL)(layers.ReLU()(h))
    h = layers.Flatten()(h)
model = keras.Model(given, h)
protocol.check_parameters(told, sum(int(ops.size(w)) for w in model.trainable_weights))

steps = -(-len(x) // told.batch)
warmup = int(told.warmup * steps)
rate = (
    keras.optimizers.schedules.CosineDecay(
        0.0, told.epochs * steps - warmup, warmup_target=told.rate, warmup_steps=warmup
    )
    if told.schedule == "cosine"
    else told.rate
)
average = {"use_ema": True, "ema_momentum": told.average} if told.average else {}
model.compile(optimizer=keras.optimizers.Adam(rate, **average), loss=bce)
timed = Report()
model.fit(x, x, batch_size=told.batch, epochs=told.epochs, verbose=0, callbacks=[timed])
if told.validation:
    y = pixels(told.validation)
    timed.report.validated(model.evaluate(y, y, batch_size=1000, verbose=0))
