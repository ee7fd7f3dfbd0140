"""`aether serve`: its configuration file, what it serves, its token, wrong usage."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cli.command import call, save_model
from hang import HANG
from listening.wire import raw
from live.serving import POSIX, Serve, send, serving, wait_until

from aether_temporal.errors import InvalidConfigError
from aether_temporal.live.serve_settings import serve_settings

pytest.importorskip("aiohttp", reason="aiohttp (extra live) is not installed")
pytest.importorskip("prometheus_client", reason="prometheus-client (extra live) is not installed")


def test_reads_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "serve.toml"
    file.write_text('name = "attic"\n[mqtt]\nhost = "broker"\ntls = true\n[log]\nfile = "x.jsonl"\nmax_bytes = 4096\n')
    found = serve_settings(file)
    assert (found.server.name, found.mqtt.broker_port, found.log.max_bytes) == ("attic", 8883, 4096)
    assert serve_settings(None).mqtt.broker_port == 1883


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nam = 1", "nam: expected one of name, moving_above, silent_after, recordings, mqtt, log, history"),
        ('name = "a/b"', "name: expected letters, digits, - and _ (64 at most), found 'a/b'"),
        ("moving_above = 2", "moving_above: expected a number from 0 to 1, found 2.0"),
        ('[mqtt]\ntopic = "a/#"', "mqtt.topic: expected letters, digits, - and _ (64 at most), found '#'"),
        ('[mqtt]\npassword_file = "x"', "mqtt.username: expected one beside password_file, found none"),
        ('[mqtt]\nca_file = "x"', "mqtt.tls: expected true beside ca_file, found false"),
        ("[log]\nkeep = true", "log.keep: expected int, found True"),
    ],
)
def test_rejects_a_wrong_configuration(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(text)
    with pytest.raises(InvalidConfigError) as found:
        serve_settings(file)
    assert f"{file}: {message}" in str(found.value)


def get(found: Serve, path: str) -> bytes:
    where = urlsplit(found.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    return body


@POSIX
def test_serves_what_nodes_send(tmp_path: Path) -> None:
    model = save_model(tmp_path, input_dim=6, n_pairs=12)
    with serving("--model", model, cwd=tmp_path) as found:
        send(found.port, *(raw(2, i, bytes(range(i, i + 24))) for i in range(10)))
        wait_until(lambda: (json.loads(get(found, "/state")) or {"nodes": []})["nodes"])
        wait_until(lambda: json.loads(get(found, "/state"))["nodes"][0]["name"] in ("sit", "walk", "turn"))
        assert b'aether_packets_total{address="127.0.0.1",kind="raw",node="2"} 10.0' in get(found, "/metrics")
        assert b"<title>aether: live</title>" in get(found, "/")


@POSIX
def test_ends_with_a_summary(tmp_path: Path) -> None:
    """However often SIGINT is sent."""
    with serving("--model", save_model(tmp_path, input_dim=6, n_pairs=12), cwd=tmp_path) as found:
        send(found.port, *(raw(2, i, bytes(range(i, i + 24))) for i in range(10)))
        wait_until(lambda: b'kind="raw",node="2"} 10.0' in get(found, "/metrics"))
        found.process.send_signal(signal.SIGINT)
        found.process.send_signal(signal.SIGINT)
        out, error = found.process.communicate(timeout=HANG)
        assert (found.process.returncode, error) == (0, "")
        first, *rest = out.splitlines()
        assert re.fullmatch(r"10 packets of 1 nodes in [\d.]+ s", first)
        assert rest == ["rejected     nothing", "predictions  10", "recordings   none"]


@POSIX
def test_makes_a_token_and_asks_for_it(tmp_path: Path) -> None:
    with serving("--token", "secret", cwd=tmp_path) as found:
        file = tmp_path / "secret"
        assert file.stat().st_mode & 0o777 == 0o600
        assert len(file.read_text().strip()) == 32
        assert file.read_text().strip() not in found.said
        assert get(found, "/state").startswith(b"401")
    (tmp_path / "secret").write_text("short\n")
    message = call("serve", "--http", ":0", "--token", tmp_path / "secret", code=2).stderr
    assert "expected a token of at least 16 letters and digits in the first line, found 5 characters" in message


@pytest.mark.slow
def test_the_unit_of_the_guide_is_valid(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze (systemd) is not installed")
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "live.md").read_text()
    unit = guide.partition("```ini\n")[2].partition("```")[0]
    program = tmp_path / "aether"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    file = tmp_path / "aether.service"
    file.write_text(unit.replace("/opt/aether/bin/aether", str(program)))
    checked = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(file)]
    done = subprocess.run(checked, capture_output=True, text=True, check=False, timeout=HANG)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


USAGE = {
    "all addresses without a token": (("--http", ":0"), "expected an address of this computer alone (127.0.0.1)"),
    "no configuration": (("--config", "absent.toml"), "absent.toml: No such file or directory"),
    "no model": (("--model", "absent"), "absent"),
    "no port": (("--http", "127.0.0.1:70000"), "expected a port from 0 to 65535, found 70000"),
}


@pytest.mark.parametrize("name", USAGE)
def test_rejects_wrong_usage(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, message = USAGE[name]
    assert message in call("serve", "--bind", "127.0.0.1:0", *arguments, code=2).stderr
    assert list(tmp_path.iterdir()) == []
