"""What the model makes of a file: its code, what is rebuilt from it, scores."""

from __future__ import annotations

from typing import Any

from lowerbound.evaluation.bounds import measures
from lowerbound.explorer.space import Space
from lowerbound.explorer.uploads import example_of
from lowerbound.outliers import default
from lowerbound.service.calls import SAMPLES

BOUNDS = {
    "elbo": "ELBO",
    "kl": "KL",
    "reconstruction": "reconstruction (−log p(x|z))",
    "importance_weighted": f"importance-weighted, k={SAMPLES}",
}


def encode(space: Space, name: str, content: bytes, label: int) -> dict[str, Any]:
    """The code of a file's first example and what is rebuilt from it; how many the file has.

    It is of class ``label`` for a conditional model.

    Raises:
        DataError: the file does not fit; see `uploads.example_of`.
    """
    (example, count), context = example_of(space, name, content, label), space.context(label)
    z = space.model.embed(example.x, context)
    return {
        "z": z[0].tolist(),
        "label": label,
        "input": space.form.of_values(example.x),
        "rebuilt": space.form.of_code(space.model, z, context),
        "count": count,
    }


def judge(space: Space, name: str, content: bytes, label: int) -> dict[str, Any]:
    """Its bounds, nats, and how strange it is beside held-out examples: figures with their names.

    Raises:
        DataError: as by `encode`.
    """
    example, _ = example_of(space, name, content, label)
    found = space.calls.score(example)
    told = {key: f"{values.item():.2f}".replace("-", "−") for key, values in found.items()}
    figures = [(name, f"{told[bound]} nats") for bound, name in BOUNDS.items() if bound in told]
    if "p_value" in found:
        figures.append((f"strangeness ({default(space.model)})", told["score"]))
        figures.append(("p, against held-out examples", f"{found['p_value'].item():.2g}"))
    return {"figures": figures, "note": f"Bounds are on the {measures(space.model)}."}
