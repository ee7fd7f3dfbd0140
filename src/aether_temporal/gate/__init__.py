"""May sparse attention replace dense? Four gates, asked of recordings (extra `train`; pictures: `plot`).

from aether_temporal.gate.command import gate
from aether_temporal.gate.gate_config import GateConfig
"""
