"""A real broker: what it holds of each node, also after it, the node or the server has restarted."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from listening.wire import classification, raw
from live.serving import Nodes, Serve, frames, send, serving, wait_until

from aether_temporal.live.serve_settings import Mqtt

paho = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt (extra live) is not installed")

from aether_temporal.live.mqtt_publisher import MqttPublisher, _document, _Sent, discovery  # noqa: E402

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Broker:
    """mosquitto at a port of this computer. It keeps nothing over a restart."""

    def __init__(self, folder: Path, *lines: str) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = int(found.getsockname()[1])
        self._file = folder / "mosquitto.conf"
        given = lines or ("allow_anonymous true",)
        self._file.write_text("\n".join((f"listener {self.port} 127.0.0.1", *given)) + "\n")
        self._folder = folder
        self.start()

    def start(self) -> None:
        assert MOSQUITTO is not None
        log = (self._folder / "mosquitto.log").open("wb")
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(self._file)], stdout=log, stderr=log)
        log.close()
        wait_until(self._listens)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _listens(self) -> bool:
        assert self._process.poll() is None, (self._folder / "mosquitto.log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True


class Subscriber:
    """What a broker holds and sends: the newest of each topic, and all that came."""

    def __init__(self, port: int, prepare: Callable[[Any], None] = lambda client: None) -> None:
        self.topics: dict[str, str] = {}
        self.came: list[tuple[str, str, bool]] = []
        self._lock = threading.Lock()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        prepare(self.client)
        self.client.on_connect = lambda client, *rest: client.subscribe("#", qos=1)
        self.client.on_message = self._message
        self.client.reconnect_delay_set(1, 1)
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()

    def _message(self, client: Any, data: Any, message: Any) -> None:
        with self._lock:
            self.topics[message.topic] = message.payload.decode()
            self.came.append((message.topic, message.payload.decode(), bool(message.retain)))

    def wait(self, topic: str, expected: str | Callable[[Any], bool]) -> Any:
        def there() -> bool:
            found = self.topics.get(topic)
            if found is None or isinstance(expected, str):
                return found == expected
            return expected(json.loads(found))

        wait_until(there)
        found = self.topics[topic]
        return found if isinstance(expected, str) else json.loads(found)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    made: list[Broker] = []

    def start(*lines: str) -> Broker:
        made.append(Broker(tmp_path, *lines))
        return made[-1]

    yield start
    for each in made:
        each.stop()


@pytest.fixture
def broker(start_broker: Callable[..., Broker]) -> Broker:
    return start_broker()


@pytest.fixture
def heard(broker: Broker) -> Iterator[Subscriber]:
    found = Subscriber(broker.port)
    yield found
    found.close()


@pytest.fixture
def publish() -> Iterator[Callable[..., MqttPublisher]]:
    made: list[MqttPublisher] = []

    def make(port: int, name: str = "attic", **options: Any) -> MqttPublisher:
        settings = Mqtt(host="127.0.0.1", port=port, **options)
        made.append(MqttPublisher(settings, name, classes=("sit", "walk"), model="small 0x01"))
        return made[-1]

    yield make
    for each in made:
        each.close()


def connected(publisher: MqttPublisher) -> None:
    wait_until(lambda: publisher.trouble is None)


@pytest.fixture
def publisher(broker: Broker, publish: Callable[..., MqttPublisher]) -> MqttPublisher:
    """Of the server "attic", connected to the broker."""
    made = publish(broker.port)
    connected(made)
    return made


@pytest.fixture
def nodes(publisher: MqttPublisher) -> Nodes:
    """What `publisher` publishes; nothing has come yet."""
    return Nodes(publisher)


def walking(count: int = 3, first: int = 0, best: int = 1) -> list[bytes]:
    return [classification(3, first + i, argmax=best, classes=2) for i in range(count)]


@pytest.mark.slow
def test_publishes_state_and_availability(heard: Subscriber, publisher: MqttPublisher, nodes: Nodes) -> None:
    nodes.send(*walking())
    nodes.show()
    heard.wait("aether/attic/status", "online")
    heard.wait("aether/attic/3/availability", "online")
    state = heard.wait("aether/attic/3/state", lambda found: found["class"] == "walk")
    assert (state["node"], state["address"], state["predicted_by"], state["lost"]) == (3, "10.0.0.1", "node", 0)
    assert state["motion"] is None
    nodes.clock.now += 60
    nodes.show()
    heard.wait("aether/attic/3/availability", "offline")
    publisher.close()
    heard.wait("aether/attic/status", "offline")


@pytest.mark.slow
def test_a_node_that_restarts_is_online_again(heard: Subscriber, publisher: MqttPublisher, nodes: Nodes) -> None:
    nodes.send(*walking(3, first=1_000_000))
    nodes.show()
    heard.wait("aether/attic/3/state", lambda found: found["class"] == "walk")
    nodes.clock.now += 6
    nodes.show()
    heard.wait("aether/attic/3/availability", "offline")
    publisher._clock = lambda: float("inf")  # a state is due
    nodes.send(*walking(3, best=0))  # its numbers begin again
    nodes.show()
    heard.wait("aether/attic/3/availability", "online")
    state = heard.wait("aether/attic/3/state", lambda found: found["class"] == "sit")
    assert state["restarts"] == 1


@pytest.mark.slow
def test_publishes_changes_soon_and_the_rest_from_time_to_time(broker: Broker, heard: Subscriber) -> None:
    nodes = Nodes()
    publisher = MqttPublisher(Mqtt(host="127.0.0.1", port=broker.port, every=30.0), "attic", clock=nodes.clock)
    nodes.state.sinks.append(publisher)
    connected(publisher)
    nodes.send(*walking())
    for _ in range(5):
        nodes.show()
    nodes.clock.now += 2
    nodes.send(*walking(1, first=3, best=0))
    nodes.show()
    nodes.send(*walking(1, first=4))  # within a second of the other: it waits, and the newest counts
    nodes.show()
    nodes.clock.now += 1
    nodes.send(*walking(1, first=5, best=0))
    nodes.show()
    nodes.clock.now += 31
    nodes.show()
    publisher.close()
    heard.wait("aether/attic/status", "offline")
    states = [json.loads(text) for topic, text, _ in heard.came if topic == "aether/attic/3/state"]
    assert [state["class"] for state in states] == ["walk", "sit", "sit"]
    assert states[-1]["class_for"] > 30


@pytest.mark.slow
def test_motion_is_published(heard: Subscriber, nodes: Nodes) -> None:
    for part, values in enumerate(frames(150, 0.05)):
        nodes.send(raw(3, part, values))
        if part % 10 == 0:
            nodes.view()
    nodes.show()
    state = heard.wait("aether/attic/3/state", lambda found: found["motion"] == "ON")
    assert state["movement"] > 0.5


@pytest.mark.slow
def test_a_later_subscriber_knows_everything(broker: Broker, nodes: Nodes) -> None:
    nodes.send(*walking())
    nodes.show()
    later = Subscriber(broker.port)
    for topic in ("aether/attic/3/state", "homeassistant/device/aether_attic_3/config"):
        later.wait(topic, lambda found: True)
    assert {retained for topic, _, retained in later.came if topic.endswith("config")} == {True}
    later.close()


@pytest.mark.slow
def test_everything_is_there_again_after_the_broker_restarts(
    broker: Broker, heard: Subscriber, publisher: MqttPublisher, nodes: Nodes
) -> None:
    nodes.send(*walking())
    nodes.show()
    heard.wait("aether/attic/3/state", lambda found: found["class"] == "walk")
    broker.stop()
    wait_until(lambda: publisher.trouble is not None)
    assert "the connection ended" in str(publisher.trouble) or "no connection" in str(publisher.trouble)
    nodes.send(*walking(2, first=3, best=0))
    nodes.show()  # nobody hears it
    heard.topics.clear()
    broker.start()  # it has forgotten everything
    connected(publisher)

    def there() -> bool:
        nodes.show()
        return "aether/attic/3/state" in heard.topics

    wait_until(there)
    heard.wait("aether/attic/status", "online")
    heard.wait("aether/attic/3/availability", "online")
    heard.wait("homeassistant/device/aether_attic_3/config", lambda found: True)
    heard.wait("aether/attic/3/state", lambda found: found["class"] == "sit")


@pytest.mark.slow
def test_discovery_comes_again_when_home_assistant_starts(heard: Subscriber, nodes: Nodes) -> None:
    nodes.send(*walking())
    nodes.show()
    config = "homeassistant/device/aether_attic_3/config"
    heard.wait(config, lambda found: True)
    heard.topics.clear()
    heard.client.publish("homeassistant/status", "online", qos=1)

    def there() -> bool:
        nodes.show()
        return config in heard.topics

    wait_until(there)


@pytest.mark.slow
def test_a_server_that_is_killed_is_offline(broker: Broker, heard: Subscriber, tmp_path: Path) -> None:
    (tmp_path / "serve.toml").write_text(f'name = "attic"\n[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n')
    for sequence in (0, 10):  # a server after a restart says it again
        with serving("--config", "serve.toml", cwd=tmp_path) as found:
            send(found.port, *walking(3, first=sequence))
            heard.wait("aether/attic/3/state", lambda state: state["class"] == "class 1")
            heard.wait("aether/attic/status", "online")
        heard.wait("aether/attic/status", "offline")
        heard.topics.clear()
    found = Serve("--config", "serve.toml", cwd=tmp_path)
    heard.wait("aether/attic/status", "online")
    found.process.kill()
    found.process.communicate()
    heard.wait("aether/attic/status", "offline")  # the broker says it: nobody else can


@pytest.mark.slow
def test_three_servers_share_the_nodes_of_one_broker(broker: Broker, heard: Subscriber, tmp_path: Path) -> None:
    names = ("cellar", "ground", "attic")
    found = []
    for name in names:
        (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\n[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n')
        found.append(serving("--config", f"{name}.toml", "--nodes", str(names.index(name)), cwd=tmp_path))
    servers = [each.__enter__() for each in found]
    try:
        for each in servers:  # all hear all
            for node in range(3):
                send(each.port, *(classification(node, i, argmax=node, classes=4) for i in range(3)))
        for node, name in enumerate(names):
            heard.wait(f"aether/{name}/{node}/state", lambda state, node=node: state["class"] == f"class {node}")
            heard.wait(f"homeassistant/device/aether_{name}_{node}/config", lambda config: True)
    finally:
        for each in found:
            each.__exit__(None, None, None)
    states = {topic for topic, _, _ in heard.came if topic.endswith("/state")}
    assert states == {f"aether/{name}/{node}/state" for node, name in enumerate(names)}


@pytest.mark.slow
def test_says_that_the_broker_rejects_it(start_broker: Callable[..., Broker], publish: Callable[..., Any]) -> None:
    publisher = publish(start_broker("allow_anonymous false").port)
    wait_until(lambda: "rejected" in str(publisher.trouble))


@pytest.mark.slow
# paho leaves the socket of a failed handshake open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_connects_by_tls_with_a_password_from_a_file(
    tmp_path: Path, start_broker: Callable[..., Broker], publish: Callable[..., Any]
) -> None:
    tools = {name: shutil.which(name) for name in ("openssl", "mosquitto_passwd")}
    missing = [name for name, path in tools.items() if path is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    _certificates(tmp_path)
    made = ["mosquitto_passwd", "-b", "-c", tmp_path / "users", "aether", "geheim"]
    subprocess.run(made, check=True, capture_output=True)
    (tmp_path / "users").chmod(0o644)
    found = start_broker(
        "allow_anonymous false",
        f"password_file {tmp_path / 'users'}",
        f"certfile {tmp_path / 'server.pem'}",
        f"keyfile {tmp_path / 'server.key'}",
        *(("user root",) if os.geteuid() == 0 else ()),
    )
    (tmp_path / "password").write_text("geheim\n")
    secret = {"tls": True, "username": "aether", "password_file": str(tmp_path / "password")}
    publisher = publish(found.port, ca_file=str(tmp_path / "server.pem"), **secret)
    connected(publisher)
    unsure = publish(found.port, name="other", **secret)  # does not know who signed
    wait_until(lambda: "no connection" in str(unsure.trouble))


def _certificates(folder: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", folder / "server.key", "-out", folder / "server.pem", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "server.key").chmod(0o644)


# -- without a broker --

TEXT, TEXTS = str, [str]
DEVICE = {"identifiers": TEXTS, "name": TEXT, "manufacturer": TEXT, "model": TEXT, "sw_version": TEXT}
SENSOR = {
    "platform": TEXT, "name": TEXT, "unique_id": TEXT, "value_template": TEXT, "device_class": TEXT, "options": TEXTS,
    "state_class": TEXT, "unit_of_measurement": TEXT, "entity_category": TEXT,
}  # fmt: skip
BINARY_SENSOR = {
    "platform": TEXT, "name": TEXT, "unique_id": TEXT, "value_template": TEXT, "device_class": TEXT, "payload_on": TEXT,
    "payload_off": TEXT, "entity_category": TEXT,
}  # fmt: skip
DISCOVERY = {
    "device": DEVICE,
    "origin": {"name": TEXT, "sw_version": TEXT, "support_url": TEXT},
    "components": {...: {"sensor": SENSOR, "binary_sensor": BINARY_SENSOR}},
    "state_topic": TEXT,
    "qos": int,
    "availability": [{"topic": TEXT}],
    "availability_mode": TEXT,
}
"""What Home Assistant's schemas take, of the keys that are used here: nothing else, and no null."""
UNITS = {"signal_strength": {"dB", "dBm"}, "frequency": {"Hz", "kHz", "MHz", "GHz"}, "enum": {None}, None: {None, "%"}}
"""The units that a sensor's device class takes."""


def check(found: object, schema: Any, where: str = "") -> None:
    if isinstance(schema, type):
        assert type(found) is schema, f"{where}: {found!r}"
    elif isinstance(schema, list):
        assert isinstance(found, list), where
        assert found, where
        for each in found:
            check(each, schema[0], f"{where}[]")
    else:
        assert isinstance(found, dict), where
        for key, value in found.items():
            inner = schema.get(key, schema.get(...))
            assert inner is not None, f"{where}.{key}"
            check(value, inner[value["platform"]] if ... in schema else inner, f"{where}.{key}")


@pytest.mark.parametrize("model", ["small 0x01", ""])
@pytest.mark.parametrize("classes", [("sit", "walk"), ()])
def test_discovery_follows_home_assistants_rules(classes: tuple[str, ...], model: str) -> None:
    document = json.loads(json.dumps(discovery("aether/attic", "attic", 3, classes, model)))
    check(document, DISCOVERY)
    entities = document["components"]
    assert {"class", "probability", "motion", "movement", "model", "rssi", "lost"} <= set(entities)
    for entity in entities.values():
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", entity["unique_id"])
        assert entity.get("entity_category") in (None, "diagnostic")
        if entity["platform"] == "sensor":
            assert entity.get("unit_of_measurement") in UNITS[entity.get("device_class")]
            assert ("options" in entity) == (entity.get("device_class") == "enum")
            assert not ("options" in entity and "state_class" in entity)
            assert ("unit_of_measurement" in entity) <= ("state_class" in entity)
    assert ("options" in entities["class"]) == bool(classes)
    assert len({entity["unique_id"] for entity in entities.values()}) == len(entities)
    assert entities["motion"]["device_class"] == "motion"
    assert document["availability_mode"] == "all"
    topics = [each["topic"] for each in document["availability"]]
    assert topics == ["aether/attic/status", "aether/attic/3/availability"]
    assert document["state_topic"] == "aether/attic/3/state"


def test_a_class_that_the_discovery_does_not_list_is_not_published() -> None:
    nodes = Nodes(names=("sit", "walk"))
    nodes.send(*(classification(3, i, argmax=5, classes=9) for i in range(3)))
    (node,) = nodes.view().nodes
    assert _document(node, ("sit", "walk"), "")["class"] is None
    assert _document(node, (), "")["class"] == "class 5"


def test_a_broker_that_is_not_there_is_no_error(publish: Callable[..., Any]) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        publisher = publish(taken.getsockname()[1])
        nodes = Nodes(publisher)
        nodes.send(*walking())
        nodes.show()
        wait_until(lambda: "no connection" in str(publisher.trouble))
        publisher.close()


def test_of_two_addresses_with_one_id_one_is_published() -> None:
    publisher = MqttPublisher.__new__(MqttPublisher)
    publisher._sent = {}
    nodes = Nodes(silent_after=5.0)
    nodes.send(*walking())
    nodes.send(*walking(best=0), address="10.0.0.2")
    (first,) = publisher._holders(nodes.view()).values()
    assert first.key.address == "10.0.0.2"
    publisher._sent[3] = _Sent(first.key)
    nodes.send(*walking(1, first=3))
    assert publisher._holders(nodes.view())[3].key.address == "10.0.0.2"  # it holds the id
    nodes.clock.now += 6
    nodes.send(*walking(1, first=4))
    assert publisher._holders(nodes.view())[3].key.address == "10.0.0.1"  # until it is silent
