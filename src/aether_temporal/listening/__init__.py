"""Packets of many nodes over UDP: checked, counted, recorded, classified. `aether listen` is built on it."""

from .documents import Events, NodeSnapshot, Snapshot
from .node_table import ListedNode, NodeTable
from .nodes import Kind, Node, NodeKey, NodePrediction
from .packet_receiver import Arrival, PacketReceiver
from .packets import Classification, Packet, RawFrame, Rejected, Rejection, parse
from .predictor import NodePredictor, PredictorStatus
from .recorder import AppendFile, Recorder
from .udp_listener import UdpListener

__all__ = [
    "AppendFile",
    "Arrival",
    "Classification",
    "Events",
    "Kind",
    "ListedNode",
    "Node",
    "NodeKey",
    "NodePrediction",
    "NodePredictor",
    "NodeSnapshot",
    "NodeTable",
    "Packet",
    "PacketReceiver",
    "PredictorStatus",
    "RawFrame",
    "Recorder",
    "Rejected",
    "Rejection",
    "Snapshot",
    "UdpListener",
    "parse",
]
