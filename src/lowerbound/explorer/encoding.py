"""What the model makes of a file: its code, what is rebuilt from it, neighbours, scores."""

from __future__ import annotations

from typing import Any

from lowerbound.evaluation.bounds import measures
from lowerbound.explorer.space import SAMPLES, Space
from lowerbound.explorer.uploads import example_of
from lowerbound.outliers import Measures, default
from lowerbound.outliers.scores import score

BOUNDS = {
    "elbo": "ELBO",
    "kl": "KL",
    "reconstruction": "reconstruction (−log p(x|z))",
    "importance_weighted": f"importance-weighted, k={SAMPLES}",
}


def encode(space: Space, name: str, content: bytes, label: int) -> dict[str, Any]:
    """The code of the first example in a file, of class ``label`` for a conditional model.

    Raises:
        DataError: the file does not fit; see `uploads.example_of`.
    """
    example, context = example_of(space, name, content, label), space.context(label)
    z = space.model.embed(example.x, context)
    return {
        "z": z[0].tolist(),
        "label": label,
        "input": space.form.of_values(example.x),
        "rebuilt": space.form.of_code(space.model, z, context),
        "neighbours": space.neighbours(z[0]),
    }


def judge(space: Space, name: str, content: bytes, label: int) -> dict[str, Any]:
    """Its bounds, nats, and how strange it is beside test examples: figures with their names.

    Raises:
        DataError: as by `encode`.
    """
    example, strangeness = example_of(space, name, content, label), default(space.model)
    with space.turn():
        against = space.calibration
        given = Measures(space.model, example, SAMPLES)
        figures = [
            (told, f"{given.bounds[bound].item():.2f} nats".replace("-", "−"))
            for bound, told in BOUNDS.items()
            if bound in given.bounds
        ]
        if against is not None:
            found = score(strangeness, given, against.train)
            p = against.p_values(strangeness, found).item()
            figures.append(
                (f"strangeness ({strangeness})", f"{found.item():.2f}".replace("-", "−"))
            )
            figures.append(("p, against test examples", f"{p:.2g}"))
    return {"figures": figures, "note": f"Bounds are on the {measures(space.model)}."}
