"""Access to a chip from a computer: parity over a serial line, slot images, flashing."""

from .c_header import c_header
from .compare import Comparison, HostRun, compare, host_run
from .conversation import Patience, fetch_report
from .flashtool import FlashTool
from .node_limits import NodeNeeds, check_node, node_needs
from .port import Port, SerialPort
from .report import Failure, FileResult, Report
from .slots import Slot, SlotHeader, pack_slot, read_slot
from .update import ChipFlash, Flash, Partition, Update, read_chip, update_model

__all__ = [
    "ChipFlash",
    "Comparison",
    "Failure",
    "FileResult",
    "Flash",
    "FlashTool",
    "HostRun",
    "NodeNeeds",
    "Partition",
    "Patience",
    "Port",
    "Report",
    "SerialPort",
    "Slot",
    "SlotHeader",
    "Update",
    "c_header",
    "check_node",
    "compare",
    "fetch_report",
    "host_run",
    "node_needs",
    "pack_slot",
    "read_chip",
    "read_slot",
    "update_model",
]
