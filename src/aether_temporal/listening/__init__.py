"""Packets of many nodes over UDP: checked, counted, recorded, classified. `aether listen` is built on it."""

from .nodes import Kind, Node, NodeKey, NodePrediction, NodeTable
from .packet_receiver import Arrival, PacketReceiver
from .packets import Classification, Packet, RawFrame, Rejected, Rejection, parse
from .predictor import NodePredictor
from .recorder import AppendFile, Recorder
from .snapshot import NodeSnapshot, Snapshot
from .udp_listener import UdpListener

__all__ = [
    "AppendFile",
    "Arrival",
    "Classification",
    "Kind",
    "Node",
    "NodeKey",
    "NodePrediction",
    "NodePredictor",
    "NodeSnapshot",
    "NodeTable",
    "Packet",
    "PacketReceiver",
    "RawFrame",
    "Recorder",
    "Rejected",
    "Rejection",
    "Snapshot",
    "UdpListener",
    "parse",
]
