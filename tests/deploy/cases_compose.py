"""The Compose file: what it mounts is there, and says what the services want."""

import json
import os
import re
import shutil

import yaml

from harness import check
from tools import DEPLOY, ROOT, run

COMPOSE = DEPLOY / "compose"


def services_of():
    return yaml.safe_load(run("docker-compose", "-f", COMPOSE / "compose.yaml", "config"))["services"]


def mounts_of(service):
    """{path in the container: path here}"""
    return {target: source for source, target, _ in (volume.split(":") for volume in service["volumes"])}


def check_compose(stage):
    """docker-compose reads the file; what is mounted or built from is there, and only loopback is published"""
    services = services_of()
    check(set(services) == {"app", "larder", "redis", "prometheus", "grafana"}, f"{set(services)}")
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source, _, mode = volume.split(":")
            check(mode == "ro" and source.startswith(str(ROOT)), f"{name}: {volume}")
            check(os.path.exists(source), f"{name} mounts {source}, which is not there")
        for port in service.get("ports", []):
            check(str(port).startswith("127.0.0.1:"), f"{name} publishes {port}")
    build = services["larder"]["build"]
    check((os.path.join(build["context"], build["dockerfile"])) == str(DEPLOY / "Dockerfile"), f"{build}")
    check(services["larder"]["read_only"] and services["larder"]["cap_drop"] == ["ALL"], "Larder needs no rights")
    shared = [name for name, service in services.items() if "app" in service["networks"]]
    check(sorted(shared) == ["app", "larder"], f"nobody but Larder may reach the app: {shared}")


def check_larder(stage):
    """Compose: Larder's configuration has no fault, and the services that it names are there"""
    services = services_of()
    text = (COMPOSE / "larder" / "larder.yaml").read_text()
    check(mounts_of(services["larder"]) == {"/etc/larder": str(COMPOSE / "larder")}, "the folder of larder.yaml")
    stage.larder_check(text, "compose/larder/larder.yaml")
    configuration = yaml.safe_load(text)
    for address in (configuration["upstream"], configuration["store"]):
        host = re.match(r"\w+://(\w+):\d+", address)[1]
        check(set(services[host]["networks"]) & set(services["larder"]["networks"]), f"Larder shares no network with {host}")
    command = services["app"]["command"]
    check(configuration["upstream"].endswith(":" + command[command.index("--port") + 1]), "the port of the app")


def check_monitoring(stage):
    """Compose: Prometheus and Grafana take their configuration, the alert rules, the data source and the dashboard"""
    services = services_of()
    folder = stage.folder / "compose-prometheus"
    folder.mkdir()
    for target, source in mounts_of(services["prometheus"]).items():
        check(target.startswith("/etc/prometheus/"), target)
        shutil.copy(source, folder / target.removeprefix("/etc/prometheus/"))
    said = run("promtool", "check", "config", folder / "prometheus.yml")
    check("1 rule files found" in said and "FAILED" not in said, said)
    targets = yaml.safe_load((folder / "prometheus.yml").read_text())["scrape_configs"][0]
    check(targets["job_name"] == "larder" and targets["static_configs"] == [{"targets": ["larder:9090"]}], f"{targets}")
    mounts = mounts_of(services["grafana"])
    source = yaml.safe_load(open(mounts["/etc/grafana/provisioning/datasources/larder.yaml"], encoding="utf-8"))["datasources"][0]
    check((source["type"], source["url"], source["isDefault"]) == ("prometheus", "http://prometheus:9090", True), f"{source}")
    provider = yaml.safe_load(open(mounts["/etc/grafana/provisioning/dashboards/larder.yaml"], encoding="utf-8"))["providers"][0]
    check(provider["options"]["path"] + "/larder.json" in mounts, "the dashboard lies where Grafana looks")
    home = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    check(json.load(open(mounts[home], encoding="utf-8"))["uid"] == "larder", home)


CASES = (check_compose, check_larder, check_monitoring)
