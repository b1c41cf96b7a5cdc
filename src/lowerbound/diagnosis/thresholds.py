"""What makes a finding: every threshold, with the reason for it.

Those of the measurements themselves, such as numbers of draws, stand where they are made.
"""

from __future__ import annotations

from lowerbound.evaluation import Estimate

SURE = 3.0
"""Standard errors that a figure must lie beyond its threshold: by chance one in 700 does."""

FEWEST = 20
"""Held-out examples below which no standard error can be relied on."""

CONSTANT = 1e-6
"""Variance of an autoencoder's dimension, over that of its largest, below which it says nothing."""

VANISHED = 0.1
"""Nats of KL below which a whole code says nothing: it tells at most e^0.1 = 1.1 examples apart."""

VANISHED_SHARE = 0.2
"""Share of the epochs with a vanished KL that makes a finding.  Any model first learns the mean
image, which needs no code; that takes a few steps, not a fifth of the training."""

SETTLED = 500
"""Steps of a training within which a KL near 0 is no collapse, and a poor reconstruction no fault:
they are not there yet."""

HOLES = 0.8
"""Share of the prior's mass not covered by codes that makes a finding: four samples in five then
come from where the decoder has hardly been trained, or codes lie where no sample does.  Models of
MNIST whose samples look right are at 0.3 to 0.75, those whose samples do not at 0.85 and more."""

NOISE_OFF = 1.25
"""Factor by which σ may miss the error's root mean square: each element of x then loses 0.05 nats
(½ (r² − 1 − log r²) at r = 1.25), some 40 nats for an image of 784.  A σ that was learned is
within 1.05."""

BETTER = 0.1
"""Bits per dimension by which another likelihood must be better: a tenth of a bit for each element
is more than deeper networks usually win."""

CLIPPED = 0.02
"""Share of outputs that are exactly 0 from which a head is clipped: a linear one gives none."""

LAST, LEARNING, LEAST_LEARNED = 0.1, 0.5, 0.5
"""Share of a training, its last epochs; share of the KL, and nats, that the bound may win in them.
Models of MNIST that were trained for 20 epochs won 0.004 to 0.08 of the KL in the last, one of 2
epochs 0.5."""

LEAST_LEARNED_EARLY = 0.05
"""Nats that a hundred more steps may win after a training of fewer than `SETTLED`, whose own course
is mostly noise."""

WEIGHT_OFF = 1.5
"""Factor by which the β that the encoder was trained with may differ from the objective's.  The
known faults are factors of 2 (a ½ lost), of the latent size, or of the number of pixels; noise of
training moves a good model's by a tenth to a third."""

WEIGHT_CLOSE = 0.35
"""Logarithm of the factor within which a weight is put down to a known fault."""

NO_WEIGHT = 0.01
"""Share of the objective's weight below which there was none, or one of the wrong sign."""

UNREST = 0.02
"""Nats that an encoder may win along its outputs' own directions before it is asked what else it
was trained as.  Twice the weight of the KL is 0.07 of two dimensions."""

AT_REST = 0.05
"""Nats of such a win along h alone, below which variances far above the prior's are precisions.
Encoders that were trained with precisions leave 0.02 and less, and variances that a KL of the wrong
sign made wide, read as precisions, ½ (½ (1 − 1/`WIDE`))² = 0.07 in each dimension and more."""

EXPLAINED = ((2.0, 0.1), (6.0, 0.02))
"""How many times less a model must win by more training as it was trained than as is stated, for
that to be what it was trained as, and the nats that are to be left of the difference: either pair.
Known faults are told by factors of 3 and more, most by 10.  Models that were not trained to their
end win by all readings alike, to a half, but a small linear one whose variances have not arrived
is told from one with another variance by a factor of 4, which is less than 0.1 nats."""

WIDE = 4.0
"""Variance of q, over that of a standard normal prior, from which the KL had the wrong sign: both
halves of the bound want it smaller."""

UNLIKE = 0.05
"""Difference of the distribution functions of training and held-out data, beyond that of chance."""

FAR_OUT = 1000.0
"""Times the distance from the median that nine in ten values keep: 1,600 deviations of a normal
distribution.  Of 1,000 values of Cauchy's, the furthest is at a tenth of it."""

INFLATED, STANDS_OUT = 0.1, 3.0
"""Share of the rows in which a number is met beyond what its family gives it, and how many times
the next most frequent one it must be: ages that are rounded to tens have no such number."""

HEAVY = 0.1
"""Nats that Student's t must tell the errors of a column better than a Gaussian does."""

IGNORED, HANGS_TOGETHER = 0.05, 0.5
"""Nats by which log p(xᵢ|z) differs from log p(xᵢ), on average, below which the code says nothing
of a column; and the association with another column from which that is a fault.  Of two Gaussian
columns each tells 0.14 nats of the other then; what hangs with nothing is rightly left out."""

NEARLY = 1e-3
"""Share of a column's variance that may be left of one that is a copy of another: digits that were
rounded.  Radius and perimeter of the cells in the breast cancer data leave 0.004."""

REPEATED = 0.01
"""Share of the held-out examples that may be training examples."""

WORSE = 1.5
"""Squared error of reconstructions over that of the mean of all x, in half of the elements, that
makes a finding."""

LEAST_GAP = 1.0
"""Nats below which no gap is a finding, so that a code of few nats gives no false alarm."""

GAP = 0.5
"""Share of the KL by which the importance-weighted bound may exceed the ELBO.  Models of MNIST are
at 0.15 with 20 dimensions and 0.35 with 3; above, the ELBO ranks encoders rather than models."""

RISE = 0.5
"""Nats that the importance-weighted bound may rise by when its samples double: less than what
models of MNIST are told apart by."""

OVERFITTING = 0.15
"""Share of the KL by which the bound may be better on training data.  What is learned by heart is
learned through the code, whose size the KL is.  Models of all of MNIST with 20 dimensions are at
0.04 and below; one of 4,000 digits, after 60 epochs, is at 0.26."""


def surely_above(value: Estimate, threshold: float) -> bool:
    """Whether an estimate lies above a threshold by more than chance."""
    return value.value - SURE * value.standard_error > threshold
