"""All systems: the modules of every document's folder register theirs when they are imported."""

from importlib import import_module
from pathlib import Path

from documents.bench.run import reproduce, results
from documents.bench.system import DOCUMENTS, SYSTEMS, System, chosen

__all__ = ["DOCUMENTS", "SYSTEMS", "System", "chosen", "reproduce", "results"]

for document in DOCUMENTS.values():
    for path in sorted((Path(__file__).parent / document.folder).glob("[!_]*.py")):
        import_module(f"documents.{document.folder}.{path.stem}")
