"""The models in PyTorch, to be trained (extra `train`): what is trained here is what the C core runs.

Nothing else of the package imports this but `train`, `gate` and their commands, so `import aether_temporal` needs no
torch.
"""

from .exchange import Description, describe, export, from_blob, load, to_blob
from .network import NetworkConfig, TemporalClassifier

__all__ = [
    "Description",
    "NetworkConfig",
    "TemporalClassifier",
    "describe",
    "export",
    "from_blob",
    "load",
    "to_blob",
]
