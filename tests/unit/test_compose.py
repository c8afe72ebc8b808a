"""The compose files: valid, reachable from this machine only, pinned, and complete.

NOTICE: compose-spec.json beside this file is `schema/compose-spec.json` of the Compose Specification
(github.com/compose-spec/compose-spec), Apache-2.0, unchanged, as shipped in check-jsonschema 0.39.0
(SHA-256 d549057ebc2925f39f62799eab0db7b9e2c18b35b6c00595199116da3ed10e64).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "compose"
SCHEMA_FILE = Path(__file__).with_name("compose-spec.json")
SCHEMA_SHA256 = "d549057ebc2925f39f62799eab0db7b9e2c18b35b6c00595199116da3ed10e64"

Document = dict[str, Any]


def load(path: Path) -> Document:
    """One YAML mapping."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


COMPOSE_FILES = sorted(path for path in FOLDER.glob("*.yaml") if "services" in load(path))
COLLECTOR_CONFIGS = sorted(path for path in FOLDER.glob("*.yaml") if "receivers" in load(path))
"""Jaeger 2 is a Collector, too."""
SENDING_CONFIGS = [
    path for path in COLLECTOR_CONFIGS if any(e.startswith("otlp") for e in load(path)["exporters"])
]
STORING_CONFIGS = [path for path in COLLECTOR_CONFIGS if path not in SENDING_CONFIGS]

each_compose_file = pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
each_collector_config = pytest.mark.parametrize("path", COLLECTOR_CONFIGS, ids=lambda path: path.name)
each_sending_config = pytest.mark.parametrize("path", SENDING_CONFIGS, ids=lambda path: path.name)
each_storing_config = pytest.mark.parametrize("path", STORING_CONFIGS, ids=lambda path: path.name)


def services(path: Path) -> Iterator[tuple[str, Document]]:
    """Name and definition of every service."""
    yield from load(path)["services"].items()


def published_addresses(service: Document) -> Iterator[str | None]:
    """The host address of every published port; None when it is every interface."""
    for port in service.get("ports", []):
        if isinstance(port, dict):
            yield port.get("host_ip")
        else:
            # [HOST_IP:][HOST_PORT:]CONTAINER_PORT; an IPv6 address stands in brackets.
            match = re.fullmatch(r"(?:(\[[^\]]+\]|[^:]+):)?(?:[\d-]*:)[\d-]+(?:/\w+)?", str(port))
            yield match.group(1) if match else None


def host_paths(service: Document) -> Iterator[str]:
    """Sources of bind mounts, as written."""
    for volume in service.get("volumes", []):
        if isinstance(volume, dict):
            if volume["type"] == "bind":
                yield volume["source"]
        elif volume.startswith((".", "/", "~")):
            yield volume.split(":")[0]


def named_volumes(service: Document) -> Iterator[str]:
    """Volumes that the file has to declare."""
    for volume in service.get("volumes", []):
        if isinstance(volume, dict):
            if volume["type"] == "volume":
                yield volume["source"]
        elif not volume.startswith((".", "/", "~")):
            yield volume.split(":")[0]


def tag_of(image: str) -> str:
    """The tag of an image reference; empty when it has none."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[2]


def test_every_yaml_file_is_a_compose_file_or_a_collector_configuration() -> None:
    """No file in compose/ escapes the tests below."""
    assert {path.name for path in COMPOSE_FILES} >= {"collector.yaml", "fleet.yaml", "jaeger.yaml"}
    assert sorted([*COMPOSE_FILES, *COLLECTOR_CONFIGS]) == sorted([*FOLDER.glob("*.y*ml")])


def test_schema_is_the_published_one() -> None:
    """The vendored schema has not been edited to fit the files."""
    assert hashlib.sha256(SCHEMA_FILE.read_bytes()).hexdigest() == SCHEMA_SHA256


@each_compose_file
def test_file_follows_the_compose_specification(path: Path) -> None:
    """A compose file validates against the Compose Specification."""
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    assert [error.message for error in validator(schema).iter_errors(load(path))] == []


def test_schema_refuses_a_misspelt_key() -> None:
    """The validation above can fail."""
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert not validator.is_valid({"services": {"app": {"image": "app:1", "depend_on": []}}})


@each_compose_file
def test_ports_are_published_on_loopback_only(path: Path) -> None:
    """No started service can be reached from another machine."""
    for name, service in services(path):
        assert service.get("network_mode") != "host", name
        assert set(published_addresses(service)) <= {"127.0.0.1"}, name


@pytest.mark.parametrize(
    ("port", "address"),
    [
        ("127.0.0.1:4318:4318", "127.0.0.1"),
        ("127.0.0.1::4318", "127.0.0.1"),
        ("10.0.0.5:4318:4318", "10.0.0.5"),
        ("[::]:4318:4318", "[::]"),
        ("4318:4318", None),
        ("4318", None),
        (4318, None),
        ({"target": 4318, "published": "4318"}, None),
        ({"target": 4318, "published": "4318", "host_ip": "127.0.0.1"}, "127.0.0.1"),
    ],
)
def test_port_address_is_read_from_every_form(port: object, address: str | None) -> None:
    """Each way to write a published port gives its host address, or none for every interface."""
    assert list(published_addresses({"ports": [port]})) == [address]


@each_compose_file
def test_images_are_pinned(path: Path) -> None:
    """Every image has a tag that names one version, and no service is without an image."""
    for name, service in services(path):
        assert re.search(r"\d+\.\d+\.\d+", tag_of(service["image"])), name


def test_base_images_are_pinned() -> None:
    """Every Dockerfile starts from one patch version."""
    dockerfiles = sorted(FOLDER.rglob("Dockerfile"))
    assert dockerfiles
    for dockerfile in dockerfiles:
        for image in re.findall(r"^FROM (\S+)", dockerfile.read_text(encoding="utf-8"), re.MULTILINE):
            assert re.search(r"\d+\.\d+\.\d+", tag_of(image)), image


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("jaegertracing/jaeger:2.19.0", "2.19.0"),
        ("localhost:5000/app", ""),
        ("python", ""),
        ("app:1.0.0@sha256:0f", "1.0.0"),
    ],
)
def test_tag_is_read_from_every_form(image: str, tag: str) -> None:
    """A registry's port and a digest are not taken for a tag."""
    assert tag_of(image) == tag


@each_compose_file
def test_mounted_and_built_paths_exist(path: Path) -> None:
    """Bind mounts, build contexts, Dockerfiles and named volumes are all there."""
    volumes = load(path).get("volumes", {})
    for name, service in services(path):
        for source in host_paths(service):
            assert (path.parent / source).exists(), (name, source)
        assert set(named_volumes(service)) <= set(volumes), name
        if "build" in service:
            context = path.parent / service["build"]["context"]
            assert (context / service["build"]["dockerfile"]).is_file(), name


@each_compose_file
def test_built_image_copies_and_runs_what_exists(path: Path) -> None:
    """What a Dockerfile copies and starts is in the repository and not held back by its ignore file."""
    for name, service in services(path):
        if "build" not in service:
            continue
        context = path.parent / service["build"]["context"]
        dockerfile = context / service["build"]["dockerfile"]
        text = dockerfile.read_text(encoding="utf-8")
        ignored = (
            dockerfile.with_name(f"{dockerfile.name}.dockerignore").read_text(encoding="utf-8").splitlines()
        )
        for sources in re.findall(r"^COPY (.+) \S+$", text, re.MULTILINE):
            for source in sources.split():
                assert (context / source).exists(), (name, source)
                assert f"!{source}" in ignored, (name, source)
        for script in re.findall(r'"(\S+\.py)"', text):
            assert (context / script).is_file(), (name, script)


@each_compose_file
def test_dependencies_can_be_met(path: Path) -> None:
    """A service waits only for one that exists, and for health only where a health check is."""
    all_services = dict(services(path))
    for name, service in all_services.items():
        for other, wanted in service.get("depends_on", {}).items():
            assert other in all_services, name
            if wanted["condition"] == "service_healthy":
                assert "healthcheck" in all_services[other], (name, other)
            if wanted["condition"] == "service_completed_successfully":
                assert all_services[other].get("restart") == "no", (name, other)


@each_collector_config
def test_pipelines_name_only_defined_components(path: Path) -> None:
    """Receivers, processors, exporters and extensions that a pipeline names are defined."""
    config = load(path)
    service = config["service"]
    assert set(service["extensions"]) <= set(config["extensions"])
    assert service["pipelines"]
    for name, pipeline in service["pipelines"].items():
        assert pipeline["receivers"], name
        assert pipeline["exporters"], name
        for role, used in pipeline.items():
            assert set(used) <= set(config[role]), (name, role)


@each_collector_config
def test_no_component_is_defined_in_vain(path: Path) -> None:
    """Every defined component is used: a queue that no pipeline reaches keeps nothing."""
    config = load(path)
    pipelines = config["service"]["pipelines"].values()
    assert set(config["extensions"]) == set(config["service"]["extensions"])
    for role in ("receivers", "processors", "exporters"):
        used = {name for pipeline in pipelines for name in pipeline.get(role, [])}
        assert set(config.get(role, {})) == used, role


@each_sending_config
def test_exporters_keep_their_queue_on_disk(path: Path) -> None:
    """A sending exporter has a stored queue, never gives up, and its storage is a running extension."""
    config = load(path)
    sending = {name: settings for name, settings in config["exporters"].items() if name.startswith("otlp")}
    for name, settings in sending.items():
        assert settings["sending_queue"]["storage"] in config["service"]["extensions"], name
        assert settings["retry_on_failure"]["max_elapsed_time"] == "0s", name


@each_collector_config
def test_nothing_waits_in_memory_behind_the_answer(path: Path) -> None:
    """No batch processor: it would hold spans that the sender already counts as delivered."""
    config = load(path)
    assert not [name for name in config.get("processors", {}) if name.startswith("batch")]


@each_storing_config
def test_storage_answers_for_itself(path: Path) -> None:
    """Jaeger refuses what its storage refuses: neither a queue nor retries stand between the two."""
    config = load(path)
    assert config["exporters"] == {"jaeger_storage_exporter": {"trace_storage": "cassandra"}}
    storage = config["extensions"]["jaeger_storage"]["backends"]["cassandra"]["cassandra"]
    assert storage["query"]["consistency"] == "LOCAL_QUORUM"
    assert storage["schema"]["replication_factor"] == 3


def collectors() -> Iterator[tuple[str, Document]]:
    """Every service that runs the Collector, by file and name."""
    for path in COMPOSE_FILES:
        for name, service in services(path):
            if "opentelemetry-collector" in service["image"]:
                yield f"{path.name}:{name}", service


def mounted_config(service: Document) -> Document:
    """The configuration that a service gets from this directory."""
    (source,) = [path for path in host_paths(service) if path.endswith(".yaml")]
    return load(FOLDER / source)


def test_collectors_write_their_queue_into_a_volume_of_their_own() -> None:
    """The queue's directory is where a volume is mounted, and no two Collectors of a file share one."""
    mounted = [
        (name.partition(":")[0], volume.split(":")[0])
        for name, service in collectors()
        for volume in service["volumes"]
        if volume.split(":")[1] == mounted_config(service)["extensions"]["file_storage"]["directory"]
    ]
    assert len(set(mounted)) == len(mounted) == len(list(collectors())) == 3


def test_hosts_share_no_volume() -> None:
    """Each host of the fleet has a spool and a store of its own, and two have some."""
    apps = [service for name, service in services(FOLDER / "fleet.yaml") if name.startswith("app-")]
    volumes = [volume for service in apps for volume in named_volumes(service)]
    assert len(apps) == len(set(volumes)) == len(volumes) == 2


def test_balancer_names_every_collector() -> None:
    """What stands in the balancer's configuration is what the fleet has, by the ports that they listen on."""
    fleet = dict(services(FOLDER / "fleet.yaml"))
    balancer = (FOLDER / "fleet-haproxy.cfg").read_text(encoding="utf-8")
    config = mounted_config(fleet["collector-a"])
    port = config["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]
    named = set(re.findall(r"^\s*server (\S+) (\S+)$", balancer, re.MULTILINE))
    assert named == {(name, f"{name}:{port}") for name in fleet if name.startswith("collector-")}
    assert f"check port {config['extensions']['health_check']['endpoint'].rpartition(':')[2]} " in balancer
