"""The container image, without an engine: the steps of deploy/Dockerfile on what it copies, and the program in the tree
that becomes the image."""

import os
import re
import shutil
import subprocess

from harness import check
from tools import DEPLOY, NotChecked, ROOT, run

DOCKERFILE = DEPLOY / "Dockerfile"
USER = "65532"


def stages_of():
    """The lines of each stage, continued ones joined."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    stages = []
    for line in lines:
        if line.startswith("FROM "):
            stages.append([])
        stages[-1].append(line)
    return stages


def copy_context(to):
    """What the first stage copies, and nothing else, where it copies it to."""
    ignored = {line.rstrip("/") for line in (ROOT / ".dockerignore").read_text().split()}
    for line in stages_of()[0]:
        if not line.startswith("COPY "):
            continue
        *sources, target = line.split()[1:]
        for source in sources:
            path, place = ROOT / source, to / target
            check(path.exists(), f"the Dockerfile copies {source}, which is not there")
            check(source.split("/")[0] not in ignored, f".dockerignore leaves {source} out")
            if path.is_dir():
                shutil.copytree(path, place, ignore=shutil.ignore_patterns("build", "build-*", "__pycache__"), dirs_exist_ok=True)
            else:
                if target.endswith("/"):
                    place.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, place)


def is_sanitized(binary):
    return "libasan" in run("ldd", binary) or "libtsan" in run("ldd", binary)


def check_dockerfile(stage):
    """the Dockerfile ends in a distroless image, as a user without rights, and runs the program before it is one"""
    build, final = stages_of()
    check(build[0].startswith("FROM debian:12"), build[0])
    check(re.match(r"FROM gcr\.io/distroless/\S+-debian12:nonroot$", final[0]), final[0])
    check(f"USER {USER}:{USER}" in final, "USER, by number")
    check("RUN deploy/build-image-root /image" in build and "COPY --from=build /image/ /" in final, "the tree comes from deploy/build-image-root")
    # there is no shell: words, not a line
    for line in final:
        check(not line.startswith(("RUN ", "ENTRYPOINT ", "CMD ")) or "[" in line, f"{line}: there is no shell")
    check('RUN ["/usr/local/bin/larder", "--version"]' in final, "it is run before it is an image")


def check_context(stage):
    """what the Dockerfile copies is all that a build needs: CMake configures it, and each include of ours is there"""
    context = stage.folder / "context"
    context.mkdir()
    copy_context(context)
    for word in ("deploy/install-packages", "deploy/build-image-root"):
        check(os.access(context / word, os.X_OK), f"{word} is copied and can be run")
    run(context / "deploy" / "install-packages", "--print", "build", cwd=context)
    run("cmake", "--preset", "release", "-DLARDER_TESTS=OFF", cwd=context, limit=120)
    for path in [*context.rglob("*.cpp"), *context.rglob("*.hpp")]:
        for included in re.findall(r'^#include "([^"]+)"', path.read_text(), re.MULTILINE):
            check((context / included).exists() or (path.parent / included).exists(), f"{path.relative_to(context)} includes {included}, which the Dockerfile does not copy")


def image_root(stage):
    """The tree, made once from what the Dockerfile copies."""
    root = stage.folder / "image"
    if not root.exists():
        if not stage.full and is_sanitized(stage.binary):
            raise NotChecked("wants a program without sanitizers: build/release/larder, or --full to build it")
        if os.geteuid() != 0:
            raise NotChecked("chroot is for root")
        context = stage.folder / "image-context"
        context.mkdir()
        copy_context(context)
        words = [] if stage.full else ["--binary", stage.binary]
        said = run(context / "deploy" / "build-image-root", *words, root, cwd=context, limit=1800)
        check(re.search(r"^larder \d+\.\d+\.\d+$", said, re.MULTILINE), said)
    return root


def check_root(stage):
    """the tree of the image has the program and all it needs: as its root, without rights, the program runs and checks a file"""
    root = image_root(stage)
    shutil.copy(DEPLOY / "quickstart.yaml", root / "etc" / "larder" / "larder.yaml")
    inside = ["chroot", f"--userspec={USER}:{USER}", root, "/usr/local/bin/larder"]
    run(*inside, "--version")
    check("0 errors" in run(*inside, "check", "/etc/larder/larder.yaml"), "check of an example")
    certificates = (root / "usr/lib/ssl/cert.pem").readlink()
    check("BEGIN CERTIFICATE" in (root / str(certificates).lstrip("/")).read_text(), "the certificates of authorities")
    writable = [path for path in root.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022]
    check(not writable, f"others may write to {writable}")
    check(not [path for path in root.rglob("*") if path.name in ("sh", "bash", "busybox")], "no shell")


def check_missing_library(stage):
    """a library that is not in the tree fails the build of the image, and says which"""
    root = stage.folder / "less"
    shutil.copytree(image_root(stage), root, symlinks=True)
    library = next(root.rglob("libyaml-cpp.so*"))
    library.unlink()
    done = subprocess.run(["chroot", root, "/usr/local/bin/larder", "--version"], capture_output=True, text=True, check=False)
    check(done.returncode != 0 and "libyaml-cpp" in done.stderr, f"the program runs without {library.name}: the machine has helped")
    # a ldd that has not found one, as on a machine without it
    false_ldd = stage.folder / "bin"
    false_ldd.mkdir()
    (false_ldd / "ldd").write_text('#!/bin/sh\n/usr/bin/ldd "$@" | sed "s/libfmt.so.9 => .*/libfmt.so.9 => not found/"\n')
    (false_ldd / "ldd").chmod(0o755)
    said = run(DEPLOY / "build-image-root", "--binary", stage.binary, stage.folder / "none", ends_well=False,
               environment={**os.environ, "PATH": f"{false_ldd}:{os.environ['PATH']}"})
    check("libfmt.so.9 is needed and not there" in said, said)


def check_run_packages(stage):
    """the packages of the set run are those whose libraries the program needs"""
    packages = re.search(r"^\[run\]\n(.*?)(?=^\[|\Z)", (DEPLOY / "packages.txt").read_text(), re.MULTILINE | re.DOTALL)[1]
    listed = {line for line in packages.split("\n") if line and not line.startswith("#")} - {"ca-certificates"}
    direct = set(re.findall(r"\(NEEDED\).*\[(.*?)\]", run("readelf", "-d", stage.binary)))
    owners = set()
    for name, path in re.findall(r"(\S+) => (/\S+)", run("ldd", stage.binary)):
        if name in direct:
            # some packages still own their files under /lib, which is a link to /usr/lib
            path = os.path.realpath(path).removeprefix("/usr")
            asked = subprocess.run(["dpkg-query", "-S", path, "/usr" + path], capture_output=True, text=True, check=False)
            check(":" in asked.stdout, f"no package has {path}")
            owners.add(asked.stdout.split(":")[0])
    system = {"libc6", "libstdc++6", "libgcc-s1", "libasan8", "libubsan1", "libtsan2"}
    if is_sanitized(stage.binary):
        listed -= {"libjemalloc2"}
    check(owners - system == listed, f"deploy/packages.txt [run]: {sorted(listed ^ (owners - system))}")


CASES = (check_dockerfile, check_context, check_root, check_missing_library, check_run_packages)
