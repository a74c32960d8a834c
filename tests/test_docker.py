"""The image without an engine: the compose file against its schema, the entry point run as it stands.

What Docker itself would do (build the layers, mount, drop rights) is not run here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.slow  # runs the entry point with a service behind it

ROOT = Path(__file__).parent.parent
NOBODY = 65534


def instructions() -> list[tuple[str, str]]:
    """(word, rest) of each instruction of the Dockerfile, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "server" / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, rest.strip()) for line in lines if line.strip() for word, _, rest in [line.partition(" ")]]


def last(word: str) -> str:
    """What the last instruction ``word`` says, which is the one that holds."""
    return [rest for name, rest in instructions() if name == word][-1]


def entry_point() -> list[str]:
    argv = json.loads(last("ENTRYPOINT"))
    assert all(isinstance(word, str) for word in argv)
    return list(argv)


def health_check() -> str:
    """The Python program of HEALTHCHECK."""
    command = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert command[:2] == ["python", "-c"]
    return str(command[2])


def the_service() -> dict[str, Any]:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert list(services) == ["epochscope"]
    return dict(services["epochscope"])


def test_the_compose_file_satisfies_the_compose_specification() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_page_is_published_on_the_loopback_address_only() -> None:
    assert the_service()["ports"] == ["127.0.0.1:7010:7010"]
    assert "network_mode" not in the_service()


def test_the_container_has_one_volume_and_no_rights() -> None:
    service = the_service()
    assert service["volumes"] == ["data:/data"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp"]
    assert not {"privileged", "cap_add", "devices", "user", "entrypoint", "command"} & service.keys()


def test_the_image_runs_as_a_user_without_rights_that_owns_the_volume() -> None:
    assert last("USER") == "10001:10001"
    assert last("VOLUME") == "/data"
    made = " ".join(rest for word, rest in instructions() if word == "RUN")
    assert "--uid 10001" in made
    assert "install --directory --owner=10001 --group=10001 --mode=0700 /data" in made


def test_the_image_needs_nothing_that_a_slim_python_lacks() -> None:
    bases = {rest.split()[0] for word, rest in instructions() if word == "FROM"}
    assert bases == {"python:3.12-slim"}
    for word, rest in instructions():
        assert not re.search(r"\b(curl|wget|apt-get)\b", rest), f"{word} {rest}"


def test_the_build_context_holds_what_the_wheel_needs_and_no_data() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    taken = {rule[1:] for rule in rules if rule.startswith("!")}
    assert taken == {"pyproject.toml", "README.md", "LICENSE", "client_callback", "server", "frontend/epochscope_web"}
    for path in taken:
        assert (ROOT / path).exists()


def runs_as(user: int) -> bool:
    """Whether ``user`` can read this environment; a checkout below /root can be read by root alone."""
    try:
        done = subprocess.run([sys.executable, "-c", "import epochscope_server"], user=user, capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[str], str, Path]]:
    """The entry point as it stands in the Dockerfile, with another volume and port: process, address, volume."""
    data = tmp_path_factory.mktemp("volume")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [word.replace("/data", str(data)).replace("7010", str(port)) for word in entry_point()]
    assert argv[0] == "epochscope"
    user = None
    if os.getuid() == 0 and runs_as(NOBODY):
        user = NOBODY
        os.chown(data, NOBODY, NOBODY)
        for above in list(data.parents)[:3]:  # pytest's own folders are closed to others
            above.chmod(above.stat().st_mode | 0o011)
    process = subprocess.Popen(
        [sys.executable, "-m", *argv],
        cwd=data,
        env={**os.environ, "HOME": "/nonexistent"},
        user=user,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(process, address)
        yield process, address, data
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def wait_for(process: subprocess.Popen[str], address: str) -> None:
    for _ in range(300):
        if process.poll() is not None:
            pytest.fail(f"the entry point ended with {process.returncode}: {process.communicate()[0]}")
        try:
            with urllib.request.urlopen(f"{address}/api/v1/health", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the entry point did not answer in 30 s")


def test_the_entry_point_serves_the_public_address_from_every_interface(
    container: tuple[subprocess.Popen[str], str, Path],
) -> None:
    _, address, data = container
    with urllib.request.urlopen(f"{address}/api/v1/health", timeout=5) as answer:
        assert json.load(answer)["status"] == "ok"
    assert list(data.iterdir()), "the store lies somewhere else than in the volume"
    assert "0.0.0.0" in entry_point()


def test_the_entry_point_answers_to_no_other_name(container: tuple[subprocess.Popen[str], str, Path]) -> None:
    request = urllib.request.Request(f"{container[1]}/api/v1/health", headers={"Host": "evil.example:7010"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=5)
    assert caught.value.code == 400
    caught.value.close()


def test_the_health_check_tells_a_live_service_from_a_dead_one(
    container: tuple[subprocess.Popen[str], str, Path],
) -> None:
    process, address, _ = container
    program = health_check().replace("7010", address.rpartition(":")[2])
    check = [sys.executable, "-c", program]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    process.send_signal(signal.SIGTERM)  # what `docker stop` sends
    output, _ = process.communicate(timeout=10)
    assert process.returncode in (0, -signal.SIGTERM), output
    assert "Traceback" not in output
    assert subprocess.run(check, capture_output=True, check=False).returncode == 1


def test_arguments_after_the_images_name_have_the_last_word(tmp_path: Path) -> None:
    # docker run IMAGE --public-url not-an-address: the service must see it, and refuse it in a sentence.
    argv = [word.replace("/data", str(tmp_path)) for word in entry_point()]
    done = subprocess.run(
        [sys.executable, "-m", *argv, *shlex.split("--public-url not-an-address")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "not-an-address" in done.stderr
