"""The Kustomize folders and the chart, rendered by the programs that render them, held against the schemas of Kubernetes,
against its Pod Security Standard "restricted", and against what a sidecar needs."""

import json
import re

import yaml

from harness import check
from tools import DEPLOY, FOLDER, documents, find, schema_errors

KUBERNETES = DEPLOY / "kubernetes"
CHART = DEPLOY / "helm" / "larder"
MONITORING = ["--set", "podMonitor.enabled=true", "--set", "prometheusRule.enabled=true", "--set", "dashboard.enabled=true"]

# What people set, each a way to render the chart.
VALUES = {
    "default values": [],
    "monitoring": [*MONITORING, "--set", "prometheusRule.labels.release=prometheus", "--set", "podMonitor.labels.release=prometheus"],
    "a Redis of one's own": ["--values", FOLDER / "values-own-redis.yaml"],
    "one replica, nothing beside it": ["--set", "replicas=1", "--set", "redis.enabled=false", "--set", "networkPolicy.enabled=false",
                                       "--set", "rollOnConfigChange=false", "--set-string", "cache=off"],
}
# What people get wrong, and what must be said.
WRONG_VALUES = {
    "replica=3": "replica",
    "cache=true": "cache",
    "drainWait=5": "drainWait",
    "app.port=0": "port",
    "config.rules=null": "rules",
}


def pods_of(rendered):
    """(name, pod spec, its labels) of all that makes pods."""
    for document in rendered:
        if document["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
            template = document["spec"]["template"]
            yield document["metadata"]["name"], template["spec"], template["metadata"]["labels"]


def why_not_restricted(pod):
    """The Pod Security Standard "restricted", and a read-only root and a limit of memory, which we promise besides."""
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield field
    for volume in pod.get("volumes", []):
        if not {"configMap", "secret", "emptyDir", "projected", "downwardAPI", "csi", "persistentVolumeClaim", "ephemeral"} & set(volume):
            yield f"volume {volume['name']}"
    whole = pod.get("securityContext", {})
    for container in pod.get("initContainers", []) + pod["containers"]:
        own, name = container.get("securityContext", {}), container["name"]
        if own.get("runAsNonRoot", whole.get("runAsNonRoot")) is not True:
            yield f"{name}: runAsNonRoot"
        if own.get("runAsUser", whole.get("runAsUser", 1)) == 0:
            yield f"{name}: runAsUser"
        if own.get("seccompProfile", whole.get("seccompProfile", {})).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{name}: seccompProfile"
        if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
            yield f"{name}: allowPrivilegeEscalation, privileged"
        if "ALL" not in own.get("capabilities", {}).get("drop", []) or set(own["capabilities"].get("add", [])) - {"NET_BIND_SERVICE"}:
            yield f"{name}: capabilities"
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"{name}: readOnlyRootFilesystem"
        if any("hostPort" in port for port in container.get("ports", [])):
            yield f"{name}: hostPort"
        if "memory" not in container.get("resources", {}).get("limits", {}):
            yield f"{name}: resources.limits.memory"


def check_references(rendered):
    """What is mounted from a ConfigMap of this application is there under that name; selectors select."""
    maps = {document["metadata"]["name"] for document in rendered if document["kind"] == "ConfigMap"}
    for name, pod, _ in pods_of(rendered):
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        for container in pod.get("initContainers", []) + pod["containers"]:
            for mount in container.get("volumeMounts", []):
                check(mount["name"] in volumes, f"{name}: no volume {mount['name']}")
        wanted = volumes.get("larder", {}).get("configMap", {}).get("name")
        check(wanted is None or wanted in maps, f"{name}: no ConfigMap {wanted}")
    labels = [labels for _, _, labels in pods_of(rendered)]
    for document in rendered:
        spec = document.get("spec", {})
        selector = {"Service": lambda s: s["selector"], "NetworkPolicy": lambda s: s["podSelector"]["matchLabels"],
                    "PodMonitor": lambda s: s["selector"]["matchLabels"]}.get(document["kind"])
        if selector:
            wanted = selector(spec)
            check(any(wanted.items() <= there.items() for there in labels),
                  f"{document['kind']} {document['metadata']['name']} selects no pod: {wanted}")


def seconds(text):
    return int(re.fullmatch(r"(\d+)s", text)[1])


def check_sidecar(rendered, name):
    """Larder is a native sidecar that kubelet can see the state of, and the app goes on while it drains."""
    pod = find(rendered, "Deployment", name)["spec"]["template"]["spec"]
    larder = next(container for container in pod["initContainers"] if container["name"] == "larder")
    check(larder["restartPolicy"] == "Always", "a native sidecar has restartPolicy: Always")
    ports = {port["name"]: port["containerPort"] for port in larder["ports"]}
    for probe, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        check(larder[probe]["httpGet"]["path"] == path and ports[larder[probe]["httpGet"]["port"]] == 9090, f"{probe}: {larder[probe]}")
    drain = larder["lifecycle"]["preStop"]["exec"]["command"]
    check(drain[:4] == ["/usr/local/bin/larder", "drain", "--config", "/etc/larder/larder.yaml"] and drain[4] == "--wait", f"{drain}")
    context = larder["securityContext"]
    check((context["runAsUser"], context["runAsGroup"]) == (65532, 65532), "the user of the image")
    mounts = {mount["name"]: mount for mount in larder["volumeMounts"]}
    check(mounts["larder"]["mountPath"] == "/etc/larder" and "subPath" not in mounts["larder"], "a subPath never changes in a running pod")
    check(larder["resources"]["requests"]["memory"] and larder["resources"]["limits"]["memory"], "resources")
    check("cpu" not in larder["resources"]["limits"], "a CPU limit throttles")
    app = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    check(app[0] == "sleep" and int(app[1]) > seconds(drain[5]), f"the app stops first: it must outlast Larder's drain ({app}, {drain})")
    check(pod["terminationGracePeriodSeconds"] >= int(app[1]) + 30, "preStop and timeouts.drain (30 s) do not fit into the grace period")
    return pod, larder


def check_all(stage, rendered, what):
    """All but the schemas, which one case asks for everything at once: their compiler takes seconds to start."""
    for name, pod, _ in pods_of(rendered):
        check(not list(why_not_restricted(pod)), f"{what}: {name} is not restricted: {list(why_not_restricted(pod))}")
    for document in rendered:
        if document["kind"] == "ConfigMap" and "larder.yaml" in document["data"]:
            stage.larder_check(document["data"]["larder.yaml"], what)
    check_references(rendered)


def check_the_checks(stage):
    """the checks of manifests find what is wrong: a misspelt field, a wrong type, a bad duration, a pod with rights"""
    rendered = stage.kustomize(KUBERNETES / "example")
    deployment, policy = find(rendered, "Deployment", "events"), find(rendered, "NetworkPolicy", "larder")
    monitor = documents((KUBERNETES / "monitoring" / "pod-monitor.yaml").read_text())[0]
    broken = json.loads(json.dumps([deployment, deployment, policy, monitor, deployment]))
    broken[0]["spec"]["template"]["spec"]["initContainers"][0]["restartPolcy"] = "Always"
    broken[1]["spec"]["replicas"] = "2"
    broken[2]["spec"]["ingress"][0]["ports"][0]["port"] = [8080]
    broken[3]["spec"]["podMetricsEndpoints"][0]["interval"] = "15 seconds"
    broken[4]["spec"]["template"]["spec"]["containers"][0].pop("name")
    errors = schema_errors(stage, [(str(number), document) for number, document in enumerate(broken)])
    for number in range(len(broken)):
        check(any(error.startswith(f"{number}: ") for error in errors), f"broken manifest {number} passes: {errors}")
    pod = json.loads(json.dumps(deployment["spec"]["template"]["spec"]))
    check(not list(why_not_restricted(pod)), "the example is restricted")
    for change in (lambda c: c["securityContext"].pop("runAsNonRoot"), lambda c: c["securityContext"].update(runAsUser=0),
                   lambda c: c["securityContext"]["capabilities"].update(add=["NET_ADMIN"]), lambda c: c["securityContext"].pop("seccompProfile"),
                   lambda c: c["securityContext"].update(allowPrivilegeEscalation=True), lambda c: c["resources"].pop("limits")):
        changed = json.loads(json.dumps(pod))
        change(changed["initContainers"][0])
        check(list(why_not_restricted(changed)), "a pod with rights passes for restricted")


def check_base(stage):
    """Kustomize: the base, and the example with everything, are right"""
    check_all(stage, [*stage.kustomize(KUBERNETES / "base"), app_with_label()], "base")
    rendered = stage.kustomize(KUBERNETES / "example")
    check_all(stage, rendered, "example")
    check_sidecar(rendered, "events")
    service = find(rendered, "Service", "events")["spec"]
    check(service["ports"][0]["targetPort"] == 8080, "clients come to Larder")
    check(find(rendered, "ConfigMap", "larder"), "the ConfigMap keeps its name, so that running pods see its changes")
    script = next(document for document in rendered if document["metadata"]["name"].startswith("events-backend"))
    check(script["data"]["events.py"] == (DEPLOY / "example-backend" / "events.py").read_text(), "the example backend")


def app_with_label():
    """The base alone has policies for pods that an app brings."""
    container = {"name": "app", "image": "app", "resources": {"limits": {"memory": "1Mi"}}, "securityContext": {
        "runAsNonRoot": True, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"}}}
    labels = {"larder/sidecar": "enabled"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app"}, "spec": {
        "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}}}


def check_component(stage):
    """Kustomize: the component adds Larder to a Deployment of an unrelated app that has the label, and changes no other"""
    rendered = stage.kustomize(FOLDER / "unrelated")
    check_all(stage, rendered, "component")
    pod, larder = check_sidecar(rendered, "wiki")
    before = {document["metadata"]["name"]: document for document in documents((FOLDER / "unrelated" / "wiki.yaml").read_text())}
    own = before["wiki"]["spec"]["template"]["spec"]
    check(pod["containers"] == own["containers"], "the app's containers are as they were")
    check([c for c in pod["initContainers"] if c["name"] != "larder"] == own["initContainers"], "the app's own init container is as it was")
    check([v for v in pod["volumes"] if v["name"] != "larder"] == own["volumes"], "the app's volumes are as they were")
    check(larder["image"] == "registry.wiki.example/larder:9.8.7", f"the image can be named: {larder['image']}")
    worker = find(rendered, "Deployment", "wiki-worker")
    worker["metadata"].pop("namespace")
    check(worker == before["wiki-worker"], "a Deployment without the label is as it was")
    name = next(volume for volume in pod["volumes"] if volume["name"] == "larder")["configMap"]["name"]
    check(re.fullmatch(r"larder-\w{10}", name), f"a new configuration has a new name, so that it rolls out: {name}")


def check_monitoring(stage):
    """Kustomize: alert rules and dashboard in the cluster are those of prometheus/ and grafana/"""
    rendered = stage.kustomize(FOLDER / "unrelated")
    rule = find(rendered, "PrometheusRule")["spec"]
    check(rule == yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text()), "the alert rules")
    dashboard = find(rendered, "ConfigMap", "larder-dashboard")
    check(dashboard["metadata"]["labels"]["grafana_dashboard"] == "1", "the label that Grafana's sidecar looks for")
    check(json.loads(dashboard["data"]["larder.json"]) == json.loads((DEPLOY / "grafana" / "larder.json").read_text()), "the dashboard")
    monitor = find(rendered, "PodMonitor")["spec"]
    pod, larder = check_sidecar(rendered, "wiki")
    check(monitor["podMetricsEndpoints"][0]["port"] in {port["name"] for port in larder["ports"]}, "the port that is scraped")
    check("larder" in find(rendered, "PodMonitor")["metadata"]["name"], "the alerts look for jobs with larder in the name")


def check_chart(stage):
    """Helm: the chart has no fault, and renders what is right with default and other values"""
    said = stage.helm("lint", "--strict", CHART)
    check("0 chart(s) failed" in said and "[WARNING]" not in said, said)
    for what, words in VALUES.items():
        rendered = documents(stage.helm("template", "shop", CHART, "--namespace", "shop", *words))
        check_all(stage, rendered, what)
        check_sidecar(rendered, "shop-larder")


def check_schemas(stage):
    """Kubernetes and the Prometheus operator know every field of what Kustomize and Helm render, and take its values"""
    rendered = [(folder.name, stage.kustomize(folder)) for folder in (KUBERNETES / "base", KUBERNETES / "example", FOLDER / "unrelated")]
    rendered += [(what, documents(stage.helm("template", "shop", CHART, *words))) for what, words in VALUES.items()]
    everything = [(f"{what}: {document['kind']} {document['metadata']['name']}", document) for what, there in rendered for document in there]
    check(len(everything) > 40, f"only {len(everything)} documents")
    errors = schema_errors(stage, everything)
    check(not errors, "\n      ".join(errors))


def check_chart_monitoring(stage):
    """Helm: alert rules and dashboard of the chart are those of prometheus/ and grafana/"""
    rendered = documents(stage.helm("template", "shop", CHART, *MONITORING))
    check(find(rendered, "PrometheusRule")["spec"] == yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text()), "the alert rules")
    dashboard = find(rendered, "ConfigMap", "shop-larder-dashboard")
    check(json.loads(dashboard["data"]["larder.json"]) == json.loads((DEPLOY / "grafana" / "larder.json").read_text()), "the dashboard")
    moved = documents(stage.helm("template", "shop", CHART, *MONITORING, "--set", "prometheusRule.runbookUrl=https://wiki.test/runbook"))
    links = {rule["annotations"]["runbook_url"].split("#")[0] for group in find(moved, "PrometheusRule")["spec"]["groups"]
             for rule in group["rules"] if "alert" in rule}
    check(links == {"https://wiki.test/runbook"}, f"{links}")


def check_values(stage):
    """Helm: values that are wrong are refused by name, and each value of values.yaml is in the schema"""
    for wrong, word in WRONG_VALUES.items():
        said = stage.helm("template", "shop", CHART, "--set", wrong, ends_well=False)
        check("values don't meet the specifications of the schema" in said and word in said, f"{wrong}: {said}")
    schema, values = json.loads((CHART / "values.schema.json").read_text()), yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(schema_there, values_there, where):
        for name, value in values_there.items():
            check(name in schema_there["properties"], f"{where}{name} is not in values.schema.json")
            inner = schema_there["properties"][name]
            if isinstance(value, dict) and inner.get("additionalProperties") is False:
                compare(inner, value, f"{where}{name}.")
    compare(schema, values, "")
    unknown = set(schema["properties"]) - set(values) - {"global"}
    check(not unknown, f"values.yaml does not show {unknown}")


def check_restart_on_change(stage):
    """Helm: a changed rule changes the pods, unless rollOnConfigChange is off, and then only the ConfigMap"""
    def pod_annotations(*words):
        rendered = documents(stage.helm("template", "shop", CHART, *words))
        return find(rendered, "Deployment", "shop-larder")["spec"]["template"]["metadata"]["annotations"]
    larger = ("--set", "config.memory=128MiB")
    check(pod_annotations() != pod_annotations(*larger), "the pods do not change with the configuration")
    stays = ("--set", "rollOnConfigChange=false")
    check(pod_annotations(*stays) == pod_annotations(*stays, *larger), "the pods change although they shall not")


CASES = (check_the_checks, check_schemas, check_base, check_component, check_monitoring, check_chart, check_chart_monitoring, check_values,
         check_restart_on_change)
