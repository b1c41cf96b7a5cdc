"""Models on a hub: ``hf://owner/name`` to a folder of the hub's cache."""

from __future__ import annotations

import re
from pathlib import Path

from lowerbound.errors import ConfigurationError, StorageError, brief
from lowerbound.extras import needs

SCHEME = "hf://"
ADDRESS = re.compile(r"hf://(\w[\w.-]*/\w[\w.-]*)(?:@([\w./-]+))?")
FETCHED = ["model.json", "weights-*.safetensors"]


def fetch(address: str) -> Path:
    """The folder of the model at ``address``, hf://owner/name or hf://owner/name@revision.

    Nothing but ``model.json`` and weights in safetensors is fetched.

    Raises:
        ConfigurationError: the address has another form.
        MissingExtra: huggingface_hub is not installed.
        StorageError: the hub has no such model, or cannot be reached.
    """
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise ConfigurationError(
            f"expected hf://owner/name or hf://owner/name@revision, got {address[:100]!r}"
        )
    hub = needs("huggingface_hub", "hub")
    name, revision = found.groups()
    try:
        return Path(hub.snapshot_download(name, revision=revision, allow_patterns=FETCHED))
    except Exception as error:  # of the network, the hub or its cache, by classes of their own
        raise StorageError(
            f"{address}: cannot be fetched ({brief(error)}); check its name and the network, or "
            "load a copy of the folder"
        ) from None
