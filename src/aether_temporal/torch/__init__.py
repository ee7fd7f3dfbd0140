"""The models in PyTorch, to be trained (extra `train`): what is trained here is what the C core runs.

Nothing else of the package imports this but `train`, `gate` and their commands, so `import aether_temporal` needs no
torch.
"""

from .aggregator import AetherTemporalAggregator, AggregatorStream
from .attention_operator import attention
from .exchange import describe, export, float16_error, from_blob, load, to_blob
from .network import Description, NetworkConfig, TemporalClassifier

__all__ = [
    "AetherTemporalAggregator",
    "AggregatorStream",
    "Description",
    "NetworkConfig",
    "TemporalClassifier",
    "attention",
    "describe",
    "export",
    "float16_error",
    "from_blob",
    "load",
    "to_blob",
]
