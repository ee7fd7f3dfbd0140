"""Four gates check on recordings whether sparse attention may replace dense (extra `train`; pictures: `plot`).

from aether_temporal.gate.command import gate
from aether_temporal.gate.gate_config import GateConfig
"""
