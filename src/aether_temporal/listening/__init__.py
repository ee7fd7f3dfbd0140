"""Packets of many nodes over UDP: checked, counted, recorded, classified. What stands behind `aether listen`."""

from .answering import Answering
from .append_file import AppendFile
from .nodes import Kind, Node, NodeKey, Said
from .packets import Classification, Packet, RawFrame, parse
from .recorder import Recorder
from .refusal import Refusal, Refused
from .server import Listener
from .station import Arrival, Station
from .table import NodeTable
from .view import NodeView, View

__all__ = [
    "Answering",
    "AppendFile",
    "Arrival",
    "Classification",
    "Kind",
    "Listener",
    "Node",
    "NodeKey",
    "NodeTable",
    "NodeView",
    "Packet",
    "RawFrame",
    "Recorder",
    "Refusal",
    "Refused",
    "Said",
    "Station",
    "View",
    "parse",
]
