"""Alert rules, dashboard and runbook: right in themselves, up to date in each copy, and made of what Larder tells."""

import json
import pathlib
import re
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request

import yaml

from harness import LIMIT, Larder, Origin, Redis, await_that, check, fetch, get
from tools import DEPLOY, FOLDER, documents, run

ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
DASHBOARD = DEPLOY / "grafana" / "larder.json"
RULES = "rules:\n  - {name: event, match: 'GET /e/{id}', key: 'e:{id}', ttl: 30m}\n  - {name: event-write, match: 'PUT /e/{id}', purge: 'e:{id}'}\n"


def all_rules():
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def alerts():
    return [rule for rule in all_rules() if "alert" in rule]


def panels():
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def queries():
    """(panel, query) of the whole dashboard, with its variables filled in."""
    for panel in panels():
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "1m").replace("$__interval", "1m")
            yield panel["title"], query.replace("$job", ".*").replace("$instance", ".*")


def check_rules(stage):
    """promtool finds no mistake in the alert rules, and each alert fires when it should and only then"""
    said = run("promtool", "check", "rules", ALERTS)
    check("SUCCESS" in said, said)
    run("promtool", "test", "rules", FOLDER / "alerts_test.yaml")
    tests = (FOLDER / "alerts_test.yaml").read_text()
    for alert in alerts():
        check(f'alertname="{alert["alert"]}", alertstate="firing"' in tests or f"alertname: {alert['alert']}" in tests,
              f"{alert['alert']} has no test in which it fires")


def check_annotations(stage):
    """each alert has a severity, a summary, a description, and a heading in the runbook that its link leads to"""
    headings = re.findall(r"^#+ (.*)$", (DEPLOY / "RUNBOOK.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    check(5 <= len(alerts()) <= 8, f"{len(alerts())} alerts")
    for alert in alerts():
        name, annotations = alert["alert"], alert["annotations"]
        check(alert["labels"]["severity"] in ("critical", "warning"), f"{name}: its severity")
        check(annotations["summary"] and annotations["description"], f"{name}: summary and description")
        page, _, anchor = annotations["runbook_url"].partition("#")
        check(page.endswith("deploy/RUNBOOK.md") and anchor == name.lower(), f"{name}: {annotations['runbook_url']}")
        check(anchor in anchors, f"{name} has no heading in deploy/RUNBOOK.md")
    for heading in headings:
        if heading.startswith("Larder") and heading.count(" ") == 0:
            check(heading in {alert["alert"] for alert in alerts()}, f"the runbook has a heading for {heading}, which is no alert")


def check_copies(stage):
    """what Helm and the Prometheus operator are given is the same as the sources"""
    run(DEPLOY / "sync-copies", "--check")
    rule = documents((DEPLOY / "kubernetes/monitoring/prometheus-rule.yaml").read_text())[0]
    check(rule["spec"] == yaml.safe_load(ALERTS.read_text()), "the PrometheusRule says something else than prometheus/alerts.yaml")


def check_dashboard(stage):
    """the dashboard is one that Grafana takes: an id and a place for each panel, none over another"""
    board = json.loads(DASHBOARD.read_text())
    check(board["uid"] and board["title"] and board["schemaVersion"] >= 36, "uid, title, schemaVersion")
    everything = board["panels"]
    check(len({panel["id"] for panel in everything}) == len(everything), "two panels with one id")
    taken = {}
    for panel in everything:
        place = panel["gridPos"]
        check(place["x"] + place["w"] <= 24, f"{panel['title']} is wider than the page")
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                check((x, y) not in taken, f"{panel['title']} lies over {taken.get((x, y))}")
                taken[x, y] = panel["title"]
    names = {variable["name"] for variable in board["templating"]["list"]}
    for panel in panels():
        check(panel["targets"] and panel["fieldConfig"]["defaults"].get("unit"), f"{panel['title']}: queries and a unit")
        check(panel["datasource"]["uid"] == "${datasource}" and "datasource" in names, f"{panel['title']}: its data source")
        for target in panel["targets"]:
            used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval", "__interval"}
            check(used <= names, f"{panel['title']}: unknown variables {used - names}")


def names_in(text):
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"(?<![\w:])(?:larder|process)_[a-z0-9_]+\b(?!:)", text)}


class Watched:
    """Redis, Larder before it, and a Prometheus that scrapes Larder with deploy/'s own configuration and rules. Their
    intervals and `for:` are short."""

    def __init__(self, stage):
        self.folder = stage.folder / "prometheus"
        self.folder.mkdir()
        self.redis, self.origin = Redis(), Origin()
        self.larder = Larder(stage.binary, self.origin, RULES, options=f"store: unix://{self.redis.path}\n")
        self.process = None

    def start_prometheus(self):
        settings = yaml.safe_load((DEPLOY / "compose" / "prometheus.yml").read_text())
        settings["global"] = {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"}
        job = settings["scrape_configs"][0]
        check(job["static_configs"] == [{"targets": ["larder:9090"]}], "the target in compose/prometheus.yml")
        job["static_configs"] = [{"targets": [f"127.0.0.1:{self.larder.admin_port}"]}]
        rules = re.sub(r"\bfor: \w+", "for: 1s", ALERTS.read_text()).replace("interval: 1m", "interval: 1s")
        (self.folder / "alerts.yaml").write_text(rules)
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
        log_path = self.folder / "log"
        for _ in range(5):  # another process may take the free port first
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port = free.getsockname()[1]
            with open(log_path, "wb") as log:
                self.process = subprocess.Popen(
                    [shutil.which("prometheus"), f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/data",
                     f"--web.listen-address=127.0.0.1:{self.port}"], stdout=log, stderr=log)
            await_that("Prometheus is ready", lambda: self.process.poll() is not None or self.is_ready(), limit=4 * LIMIT)
            if self.process.poll() is None:
                return
        check(False, "Prometheus does not start:\n" + log_path.read_text()[-2000:])

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=LIMIT) as answer:
                return answer.status == 200
        except OSError:
            return False

    def ask(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=LIMIT) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            check(False, f"{path} {parameters}: {error.read().decode()[:500]}")

    def value(self, query):
        found = self.ask("query", query=query)["result"]
        return float(found[0]["value"][1]) if found else None

    def state(self, alert):
        states = {item["state"] for item in self.ask("alerts")["alerts"] if item["labels"]["alertname"] == alert}
        return "firing" if "firing" in states else "pending" if states else "silent"

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()
        if self.larder.process.poll() is None:
            self.larder.stop()
        if self.redis.process.poll() is None:
            self.redis.stop()


def check_names(stage):
    """promtool accepts what a running Larder shows, and every metric of an alert or a panel is in it"""
    redis, origin = Redis(), Origin()
    larder = Larder(stage.binary, origin, RULES, options=f"store: unix://{redis.path}\n")
    fetch(larder.port, "/e/1")
    _, text = fetch(larder.admin_port, "/metrics")
    larder.stop()
    redis.stop()
    check(run("promtool", "check", "metrics", stdin=text.decode()) == "", "promtool finds fault with /metrics")
    there = set(re.findall(r"^# TYPE (\S+)", text.decode(), re.MULTILINE))
    wanted = names_in("\n".join(rule["expr"] for rule in all_rules()) + "\n" + "\n".join(query for _, query in queries()))
    board = json.loads(DASHBOARD.read_text())
    wanted |= names_in(json.dumps(board["templating"]) + json.dumps(board["annotations"]))
    check(wanted <= there, f"alerts or panels use what Larder does not show: {', '.join(sorted(wanted - there))}")
    check(len(wanted) >= 40, f"only {len(wanted)} metrics are used")


def check_live(stage):
    """Prometheus scrapes Larder, evaluates every rule and panel, and tells of Redis gone, purges that wait, a wrong file, the
    cache switched off, and Larder gone"""
    watched = Watched(stage)
    try:
        watched.start_prometheus()
        await_that("Prometheus has scraped Larder", lambda: watched.value('up{job="larder"}') == 1, limit=4 * LIMIT)
        rules = lambda: [rule for group in watched.ask("rules")["groups"] for rule in group["rules"]]  # noqa: E731
        await_that("each rule was evaluated", lambda: all(rule["health"] == "ok" for rule in rules()), limit=4 * LIMIT)
        check(len(rules()) == len(all_rules()), "rules are missing")
        for title, query in queries():
            watched.ask("query", query=query)  # Failure when it is no query
        # the first ones may come before Redis is connected, and pass by
        is_hit = lambda: get(watched.larder.port, "/e/1").get(b"cache-status").startswith(b"larder; hit")  # noqa: E731
        await_that("a hit", is_hit)
        hits = 'sum(larder_requests_total{verdict="hit"})'
        await_that("Prometheus has seen the hit", lambda: watched.value(hits) == 1, limit=4 * LIMIT)
        await_that("no alert fires", lambda: not watched.ask("alerts")["alerts"], limit=4 * LIMIT)

        fires = lambda name: await_that(f"{name} fires", lambda: watched.state(name) == "firing", limit=4 * LIMIT)  # noqa: E731
        ends = lambda name: await_that(f"{name} ends", lambda: watched.state(name) == "silent", limit=4 * LIMIT)  # noqa: E731
        watched.redis.process.kill()
        watched.redis.process.wait()
        answer = get(watched.larder.port, "/e/1", method="PUT", body=b"new")
        check(answer.get(b"x-cache-purge") == b"deferred", "the purge of a write waits for Redis", answer.head)
        fires("LarderStoreDown")
        fires("LarderPurgesWaiting")
        check(watched.state("LarderDown") == "silent", "LarderDown with Larder running")
        watched.redis.start()
        ends("LarderStoreDown")
        ends("LarderPurgesWaiting")

        file = pathlib.Path(watched.larder.directory.name) / "larder.yaml"
        good = file.read_text()
        file.write_text(good.replace("ttl: 30m", "ttl: 30"))
        fires("LarderReloadFailed")
        file.write_text(good)
        ends("LarderReloadFailed")

        switch = [stage.binary, "switch", "--admin", f"127.0.0.1:{watched.larder.admin_port}", "--cache"]
        run(*switch, "off")
        fires("LarderCacheOff")
        run(*switch, "on")
        ends("LarderCacheOff")

        watched.larder.stop()
        fires("LarderDown")
    finally:
        watched.stop()


CASES = (check_rules, check_annotations, check_copies, check_dashboard, check_names, check_live)
