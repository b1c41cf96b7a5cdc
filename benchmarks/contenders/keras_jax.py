"""Keras 3 on JAX: a functional model, a sampling layer that adds its KL, `fit`."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import keras
import protocol
from keras import ops

told = protocol.task()
x = protocol.images(told).astype("float32") / 255


class Sampling(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, heads):
        mean, log_variance = ops.split(heads, 2, axis=1)
        kl = 0.5 * ops.sum(ops.exp(log_variance) + mean**2 - 1 - log_variance, axis=1)
        self.add_loss(ops.mean(kl))
        noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
        return mean + ops.exp(0.5 * log_variance) * noise


def bce(x, logits):
    return ops.sum(ops.binary_crossentropy(x, logits, from_logits=True), axis=1)


class Report(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.report = protocol.Reporter()

    def on_epoch_end(self, epoch, logs=None):
        self.report(len(x), logs["loss"])


h = given = keras.Input((784,))
for width in told.hidden:
    h = keras.layers.Dense(width, activation="relu")(h)
h = Sampling()(keras.layers.Dense(2 * told.latent)(h))
for width in told.hidden[::-1]:
    h = keras.layers.Dense(width, activation="relu")(h)
model = keras.Model(given, keras.layers.Dense(784)(h))
model.compile(optimizer=keras.optimizers.Adam(told.rate), loss=bce)
model.fit(x, x, batch_size=told.batch, epochs=told.epochs, verbose=0, callbacks=[Report()])
