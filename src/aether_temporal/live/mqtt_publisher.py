"""States of the nodes for an MQTT broker, and how Home Assistant finds them (device discovery, docs/guide/live.md).

A topic holds what is newest, retained, with QoS 1: who subscribes later, or connects again, knows the state. Nothing is
queued while there is no connection: when it is back, everything is sent as it is then. paho's thread connects again by
itself, after 1 s, then twice as long each time, up to a minute.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from aether_temporal import __version__
from aether_temporal.errors import InvalidConfigError
from aether_temporal.listening.engine import Observer
from aether_temporal.listening.nodes import NodeKey

from .serve_settings import Mqtt
from .state import NodeView, View

_QOS = 1
_SHORTEST = 1.0  # seconds between two states of a node whose class has changed
_KEEP_ALIVE = 15  # seconds; the broker says "offline" after one and a half
_QUEUED = 10_000  # messages that wait for the broker; more are not taken, and everything is sent again later
_ENDING = 5.0  # seconds that the last messages may take


@dataclass
class _Sent:
    """What was published for a node."""

    key: NodeKey
    at: float = float("-inf")  # when its state was
    state: tuple[object, ...] = ()  # what makes a state another one
    online: bool | None = None


class MqttPublisher(Observer):
    """Publishes views. name: of this server, in topics and ids. model: its name and version.

    InvalidConfigError, OSError: of the files that the settings name. A broker that cannot be reached is no error:
    `trouble` says why, until it can.
    """

    def __init__(
        self,
        settings: Mqtt,
        name: str,
        *,
        classes: tuple[str, ...] = (),
        model: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._name, self._classes, self._model, self._clock = settings, name, classes, model, clock
        self._root = f"{settings.topic}/{name}"
        self._sent: dict[int, _Sent] = {}
        self._lock = threading.Lock()
        self._renew = False  # everything is to be published again
        self._view: View | None = None
        self.trouble: str | None = f"{self._where}: not connected yet"
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"aether-{name}")
        if settings.username is not None:
            self._client.username_pw_set(settings.username, settings.password())
        if settings.tls:
            try:
                self._client.tls_set_context(ssl.create_default_context(cafile=settings.ca_file))
            except ssl.SSLError:
                raise InvalidConfigError.of(f"{settings.ca_file}", "certificates in PEM", "something else") from None
        self._client.will_set(f"{self._root}/status", "offline", qos=_QOS, retain=True)
        self._client.reconnect_delay_set(1, 60)
        self._client.on_connect = self._connected
        self._client.on_connect_fail = self._failed
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._message
        self._client.max_queued_messages_set(_QUEUED)
        self._client.connect_async(settings.host, settings.broker_port, _KEEP_ALIVE)
        self._client.loop_start()

    def show(self, view: View) -> None:
        """Publishes what has changed since the last view. Never waits for the broker."""
        with self._lock:
            self._view = view
            if not self._client.is_connected():
                return
            if self._renew:
                self._renew = False
                self._sent.clear()
                self._publish("status", "online")
            nodes = self._holders(view)
            for number, node in nodes.items():
                self._show_node(number, node)
            for number in [number for number in self._sent if number not in nodes]:
                self._publish(f"{number}/availability", "offline")
                del self._sent[number]

    def close(self) -> None:
        """Says that all is offline, and ends the connection. May be repeated."""
        if self._client.is_connected():
            last = self._client.publish(f"{self._root}/status", "offline", qos=_QOS, retain=True)
            with contextlib.suppress(ValueError, RuntimeError):
                last.wait_for_publish(_ENDING)
        self._client.disconnect()
        self._client.loop_stop()

    # -- in paho's thread --

    def _connected(self, client: paho.Client, data: Any, flags: Any, code: ReasonCode, properties: Any) -> None:
        if code.is_failure:
            self.trouble = f"{self._where}: rejected: {code}"
            return
        self.trouble = None
        client.subscribe(f"{self._settings.discovery}/status", qos=_QOS)
        with self._lock:
            self._renew = True

    def _failed(self, client: paho.Client, data: Any) -> None:
        self.trouble = f"{self._where}: no connection"

    def _disconnected(self, client: paho.Client, data: Any, flags: Any, code: ReasonCode, properties: Any) -> None:
        if self.trouble is None:
            self.trouble = f"{self._where}: the connection ended: {code}"

    def _message(self, client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        """Home Assistant has started: it wants to be told again."""
        if message.payload == b"online" and not message.retain:
            with self._lock:
                self._renew = True

    # -- what is published --

    @property
    def _where(self) -> str:
        return f"MQTT broker {self._settings.host} port {self._settings.broker_port}"

    def _holders(self, view: View) -> dict[int, NodeView]:
        """A node for each id: where two addresses say one id, the one that holds it, until that is silent."""
        found: dict[int, NodeView] = {}
        for node in sorted(view.nodes, key=lambda node: (node.silent, node.snapshot.silent)):
            number = node.key.node_id
            sent = self._sent.get(number)
            held = sent is not None and sent.key == node.key and not node.silent
            if number not in found or held:
                found[number] = node
        return found

    def _show_node(self, number: int, node: NodeView) -> None:
        sent = self._sent.get(number)
        if sent is None or sent.key != node.key:
            sent = self._sent[number] = _Sent(node.key)
            self._publish_discovery(number)
        if sent.online != (not node.silent):
            sent.online = not node.silent
            self._publish(f"{number}/availability", "offline" if node.silent else "online")
        now = self._clock()
        state = (node.name, node.moving, node.snapshot.trouble)
        since = now - sent.at
        if since >= self._settings.every or (state != sent.state and since >= _SHORTEST):
            sent.at, sent.state = now, state
            self._publish(f"{number}/state", json.dumps(_document(node, self._classes, self._model), allow_nan=False))

    def _publish_discovery(self, number: int) -> None:
        identity = f"aether_{self._name}_{number}"
        topic = f"{self._settings.discovery}/device/{identity}/config"
        document = discovery(self._root, self._name, number, self._classes, self._model)
        self._give(topic, json.dumps(document))

    def _publish(self, topic: str, payload: str) -> None:
        self._give(f"{self._root}/{topic}", payload)

    def _give(self, topic: str, payload: str) -> None:
        if self._client.publish(topic, payload, qos=_QOS, retain=True).rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._renew = True


def _document(node: NodeView, classes: tuple[str, ...], model: str) -> dict[str, object]:
    """A node's state as it is published. A class that the discovery does not list (of a node with another model) is
    none: Home Assistant takes no others."""
    found = node.document()
    kept = ("node", "address", "probability", "margin", "predicted_by", "rssi", "rate", "restarts", "trouble")
    return {
        "class": node.name if not classes or node.name in classes else None,
        "class_for": found["held"],
        "motion": None if node.moving is None else "ON" if node.moving else "OFF",
        "movement": found["movement"],
        "lost": round(node.lost * 100, 3),
        "model": model or None,
        **{name: found[name] for name in kept},
    }


def discovery(root: str, server: str, number: int, classes: tuple[str, ...], model: str) -> dict[str, object]:
    """Home Assistant's device discovery: the device and its entities in one message, with the keys' full names."""
    identity = f"aether_{server}_{number}"
    measured, diagnostic = {"state_class": "measurement"}, {"entity_category": "diagnostic"}
    percent = {"unit_of_measurement": "%"}
    share = "{{ (value_json.probability * 100) if value_json.probability is not none else none }}"
    signal = {"device_class": "signal_strength", "unit_of_measurement": "dBm"}
    rate = {"device_class": "frequency", "unit_of_measurement": "Hz"}
    entities: dict[str, dict[str, object]] = {
        "class": {"name": "Class", **({"device_class": "enum", "options": list(classes)} if classes else {})},
        "probability": {"name": "Probability", "value_template": share, **percent, **measured},
        "motion": {
            "platform": "binary_sensor",
            "name": "Motion",
            "device_class": "motion",
            "payload_on": "ON",
            "payload_off": "OFF",
        },
        "movement": {"name": "Movement score", **measured},
        "rssi": {"name": "Signal strength", **signal, **measured, **diagnostic},
        "rate": {"name": "Packet rate", **rate, **measured, **diagnostic},
        "lost": {"name": "Packet loss", **percent, **measured, **diagnostic},
        "restarts": {"name": "Restarts", "state_class": "total_increasing", **diagnostic},
        "model": {"name": "Model", **diagnostic},
    }
    return {
        "device": {
            "identifiers": [identity],
            "name": f"Node {number} ({server})",
            "manufacturer": "aether-temporal",
            "model": "Wi-Fi CSI node",
            **({"sw_version": model} if model else {}),
        },
        "origin": {"name": "aether-temporal", "sw_version": __version__},
        "state_topic": f"{root}/{number}/state",
        "availability": [{"topic": f"{root}/status"}, {"topic": f"{root}/{number}/availability"}],
        "availability_mode": "all",
        "qos": _QOS,
        "components": {
            name: {
                "platform": "sensor",
                "unique_id": f"{identity}_{name}",
                "value_template": f"{{{{ value_json['{name}'] }}}}",
                **entity,
            }
            for name, entity in entities.items()
        },
    }
