"""Functions of tensors as compiled graphs, by torch's compiler."""

from lowerbound.compiler.graph import CannotCompile as CannotCompile
from lowerbound.compiler.graph import Graph as Graph
