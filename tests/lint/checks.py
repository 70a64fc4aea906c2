"""What STYLE's section M asks a machine to see. Each check takes a Tree and yields Findings; `run` calls them all.

Read CHECKS at the end first. A check works on text, not on a parse tree: it is right about the code that people write
here, and its message says what to write instead.
"""

import bisect
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

CODE = (".cpp", ".hpp")
SCRIPT = (".py", ".sh")
OWN = ("rules", "config", "proxy")
# the program's only clock, and the one of the tests that wait for other processes: those cannot be told the time
CLOCKS = ("proxy/net/clock.cpp", "tests/support/eventually.cpp")
TOP_LEVEL = ("CMakeLists.txt", "CMakePresets.json", "README.md", "bench", "config", "deploy", "proxy", "rules", "tests")
MEASURES = "bench/"  # time is what these programs are there for


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.text}"


@dataclass
class Source:
    """One file; `code` is its text with comments and literals blanked, every character still in its place."""

    path: str
    text: str
    code: str
    starts: list = field(default_factory=list)

    def __post_init__(self):
        self.starts = [0] + [m.end() for m in re.finditer("\n", self.text)]

    def line_of(self, offset):
        return bisect.bisect_right(self.starts, offset)

    def finding(self, offset, text):
        return Finding(self.path, self.line_of(offset), text)


class Tree:
    """The files to check, below `root`; `paths` are relative to it."""

    def __init__(self, root, paths):
        self.root = Path(root)
        self.paths = sorted(paths)
        self.sources = []
        for path in self.paths:
            if not (path.endswith(CODE + SCRIPT) or "." not in Path(path).name):
                continue
            try:
                text = (self.root / path).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            if path.endswith(CODE) or path.endswith(SCRIPT) or text.startswith("#!"):
                code = blank_cpp(text) if path.endswith(CODE) else blank_script(text)
                self.sources.append(Source(path, text, code))

    def cpp(self, *folders):
        for source in self.sources:
            if source.path.endswith(CODE) and (not folders or source.path.split("/")[0] in folders):
                yield source


CPP_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/"
    r'|R"(?P<delimiter>[^()\s\\]{0,16})\(.*?\)(?P=delimiter)"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",  # not the ' of 1'000
    re.S,
)


def blank(text):
    return re.sub(r"[^\n]", " ", text)


def blank_cpp(text):
    def replace(match):
        found = match[0]
        if found.startswith("/"):
            return blank(found)
        return found[0] + blank(found[1:-1]) + found[-1]

    # an include's name looks like a string; the checks of includes read `text`
    return CPP_TOKEN.sub(replace, text)


def blank_script(text):
    return re.sub(r"(?m)(^|\s)#[^\n]*", lambda match: blank(match[0]), text)


def read_arrows(path):
    levels, outside = {}, {}
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0] == "outside":
            outside[words[1]] = words[2:]
        else:
            levels[words[1]] = int(words[0])
    return levels, outside


LEVELS, OUTSIDE = read_arrows(Path(__file__).with_name("arrows.txt"))


def folder_of(path):
    """The folder of arrows.txt that a file belongs to: the longest that is a prefix; only `config` has folders below."""
    parent = path.rpartition("/")[0]
    if parent in LEVELS:
        return parent
    return "config" if parent.startswith("config/") else None


def check_arrows(tree):
    for source in tree.cpp(*OWN):
        mine = folder_of(source.path)
        if source.path == "proxy/precompiled.hpp":
            mine = "proxy"
        if mine is None:
            yield Finding(source.path, 1, f"{source.path.rpartition('/')[0]} has no level; give it one in tests/lint/arrows.txt")
            continue
        for match in re.finditer(r'(?m)^[ \t]*#[ \t]*include[ \t]+(["<])([^">\n]+)[">]', source.text):
            quoted, name = match[1] == '"', match[2]
            if quoted and name.split("/")[0] in OWN:
                theirs = folder_of(name)
                if theirs is None:
                    yield source.finding(match.start(), f'"{name}" is in a folder without a level; see tests/lint/arrows.txt')
                elif theirs != mine and LEVELS[theirs] >= LEVELS[mine]:
                    way = "up" if LEVELS[theirs] > LEVELS[mine] else "sideways"
                    yield source.finding(
                        match.start(),
                        f'"{name}" points {way} ({mine} is level {LEVELS[mine]}, {theirs} {LEVELS[theirs]}):'
                        " move what both need to a lower folder, or let the caller pass it in",
                    )
                continue
            if quoted:
                yield source.finding(
                    match.start(), f'"{name}": write our own files from the root, as "rules/base/errors.hpp", others in <>'
                )
            for prefix, folders in OUTSIDE.items():
                exact = "/" not in prefix
                if not (name == prefix if exact else name.startswith(prefix)):
                    continue
                if not any(source.path.startswith((place + "/", place + ".")) for place in folders):
                    yield source.finding(match.start(), f"<{name}> belongs to {', '.join(folders)} only (STYLE B2)")


def check_clock(tree):
    pattern = re.compile(r"::now\s*\(|\b(?:clock_gettime|gettimeofday|timespec_get)\s*\(|(?<![\w.>])time\s*\(\s*(?:nullptr|NULL|0)\s*\)")
    for source in tree.cpp():
        if source.path in CLOCKS or source.path.startswith(MEASURES):
            continue
        for match in pattern.finditer(source.code):
            yield source.finding(
                match.start(), "reads a clock: take `now` as a parameter, or call proxy/net/clock.hpp where I/O is done (T2)"
            )


def check_sleep(tree):
    cpp = re.compile(r"\b(?:sleep_for|sleep_until|usleep|nanosleep|clock_nanosleep|sleep)\s*\(")
    script = re.compile(r"\btime\.sleep\s*\(|(?m:^|[;&|({]|\bdo\b|\bthen\b)\s*sleep\s+[0-9.$\"]")
    for source in tree.sources:
        if source.path.split("/")[0] != "tests":
            continue
        pattern = cpp if source.path.endswith(CODE) else script
        for match in pattern.finditer(source.code):
            end = match.end() - 1
            yield source.finding(
                end, "a test sleeps: wait for the event itself (poll with a deadline, a held origin), or move a FakeClock (T2)"
            )


def check_detached(tree):
    for source in tree.cpp():
        if re.fullmatch(r"proxy/app\.[ch]pp", source.path):
            continue
        for match in re.finditer(r"\bdetached\b", source.code):
            yield source.finding(match.start(), "nobody owns this coroutine: start it with App::spawn (A5)")


LAMBDA = re.compile(r"(?<![\w)\]\[])\s*\[(?!\[)[^\[\]]*\]\s*(?:\(|\{|mutable\b|noexcept\b|->|<)")


def statement_after(code, start):
    """From a co_await to its `;`, or to the block that a condition opens: `if (co_await f()) {`."""
    depth = 0
    for position in range(start, len(code)):
        character = code[position]
        if character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == ";":
            return code[start:position]
        elif character in "{}" and depth < 0:
            return code[start:position]
        elif character == "}" and depth == 0:
            return code[start:position]
    return code[start:]


def check_co_await(tree):
    for source in tree.cpp():
        code = source.code
        for match in re.finditer(r"\bco_await\b", code):
            before = re.split(r"[;{}]", code[max(0, match.start() - 2000) : match.start()])[-1]
            after = statement_after(code, match.end())
            found = LAMBDA.search(after)
            if found:
                yield source.finding(
                    match.end() + found.end() - 1, "a lambda inside a co_await statement: name it on the line before (A7)"
                )
                continue
            if "?" in after or "?" in before:
                yield source.finding(match.start(), "co_await and ?: in one statement: write if / else (A7)")
                continue
            braces = re.search(r"\{", after)
            if braces:
                yield source.finding(
                    match.end() + braces.start(),
                    "a braced value inside a co_await statement: name it on the line before and std::move it in (A7)",
                )
        for match in re.finditer(r"\bco_spawn\s*\(", code):
            call = balanced(code, match.end() - 1)
            found = LAMBDA.search(call)
            if found and re.search(r"\}\s*\(\s*\)", call):
                yield source.finding(
                    match.start(), "co_spawn of a lambda that is called at once: pass the lambda, or a function of values (A7)"
                )


def balanced(code, start):
    """The text from an opening parenthesis to the one that closes it."""
    depth = 0
    for position in range(start, len(code)):
        depth += {"(": 1, ")": -1}.get(code[position], 0)
        if depth == 0:
            return code[start : position + 1]
    return code[start:]


def check_todo(tree):
    for source in tree.sources:
        if source.path.startswith("tests/lint/"):
            continue
        for match in re.finditer(r"\b(TODO|FIXME|XXX|HACK)\b(?![^\n]*#[0-9]+)", source.text):
            yield source.finding(match.start(), f"{match[1]} without an issue: open one and write {match[1]} #NUMBER, or do it (C4)")


def check_layout(tree):
    for path in tree.paths:
        first = path.split("/")[0]
        if first not in TOP_LEVEL and not first.startswith("."):
            yield Finding(path, 1, f"the top level is fixed: {', '.join(TOP_LEVEL)}")


def check_format(tree):
    paths = [source.path for source in tree.cpp()]
    if not paths:
        return
    try:
        version = subprocess.run(["clang-format", "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        yield Finding("deploy/packages.txt", 1, "clang-format does not run: deploy/install-packages test")
        return
    if " 14." not in version:
        yield Finding(".clang-format", 1, f"needs clang-format 14, this is {version.strip()}")
        return
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *paths], cwd=tree.root, capture_output=True, text=True, check=False)
    places = {}
    for match in re.finditer(r"(?m)^(.+?):(\d+):\d+: error: code should be clang-formatted", done.stderr):
        places.setdefault(match[1], []).append(int(match[2]))
    for path, lines in places.items():
        yield Finding(path, lines[0], f"not formatted ({len(lines)} places): clang-format -i {path}")
    if done.returncode != 0 and not places:
        yield Finding(".clang-format", 1, done.stderr.strip()[:300])


# name, what it looks for, the check. The names are those that selftest/ expects in its samples.
CHECKS = (
    ("arrows", "includes point down, and each library stays in its folder", check_arrows),
    ("clock", "no clock is read outside proxy/net/clock.cpp", check_clock),
    ("sleep", "no test sleeps", check_sleep),
    ("detached", "no coroutine without an owner", check_detached),
    ("co_await", "only names in a co_await statement: what g++ 12.2 miscompiles", check_co_await),
    ("todo", "no TODO without an issue number", check_todo),
    ("layout", "nothing else stands at the top level", check_layout),
    ("format", "clang-format", check_format),
)
