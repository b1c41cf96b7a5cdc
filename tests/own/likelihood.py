"""A likelihood of counts."""

import torch
from torch.distributions import Distribution

import lowerbound as lb
from lowerbound.likelihoods import Likelihood


@lb.part
class Geometric(Likelihood):
    """p(x|z) = ∏ᵢ (1 − pᵢ)^xᵢ pᵢ; ``network`` returns the logits of p."""

    support = "counts"

    def elements(self, theta: torch.Tensor) -> Distribution:
        return torch.distributions.Geometric(logits=theta.squeeze(-1), validate_args=False)
