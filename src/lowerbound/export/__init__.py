"""Models taken elsewhere: as ONNX files that need no Python, and as a folder for a model hub."""

from lowerbound.export.hub_folder import to_hub
from lowerbound.export.onnx_files import Exported, to_onnx

__all__ = ["Exported", "to_hub", "to_onnx"]
