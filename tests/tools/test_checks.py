"""The checks catch what they are there to catch: each is given a small tree with one thing planted, and the same without it."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = "base\nwire base\nproto base\nhostd base wire proto\nhostd/core base wire\ntests base hostd\n"


def tree(at, files):
    for name, text in files.items():
        path = at / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return at


def ran(*words):
    r = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False, timeout=60)
    return r.returncode, r.stdout + r.stderr


def floors(at, files):
    return ran(ROOT / "tools/check-floors", tree(at, {"docs/floors.txt": FLOORS, "base/base.h": "\n", **files}))


@pytest.mark.parametrize("name, line, why", [
    ("wire/a.c", '#include "proto/control.h"', "a leaf includes its neighbour"),
    ("hostd/core/a.c", '#include "proto/control.h"', "a core includes what only its program may"),
    ("hostd/core/a.c", '#include "hostd/port.h"', "a core includes its shell"),
    ("base/a.h", '#\tinclude "wire/att.h"', "upwards, with a tab in the directive"),
    ("wire/a.def", '#include "hostd/core/host.h"', "a table is a source too"),
    ("wire/a.c", '#include "att.h"', "not from the root"),
    ("attic/a.c", "", "a folder that has no line"),
])
def test_floors_refuses(tmp_path, name, line, why):
    code, said = floors(tmp_path, {name: line + "\n"})
    assert code == 1 and name in said, f"{why}: {said}"


@pytest.mark.parametrize("name, line", [
    ("hostd/core/a.c", '#include "wire/att.h"'),
    ("hostd/core/a.c", '#include "hostd/core/host.h"'),
    ("hostd/a.c", '#include "hostd/core/host.h"'),
    ("hostd/a.c", '#include "proto/control.h"'),
    ("tests/unit/test_a.c", '#include "hostd/core/host.h"'),
    ("base/a.c", "#include <string.h>"),
    ("build/gen/a.c", '#include "anything.h"'),
])
def test_floors_allows(tmp_path, name, line):
    assert floors(tmp_path, {name: line + "\n"}) == (0, "")


def function(name, lines):
    """A C function of that many lines, its name's line and both braces counted."""
    return f"int {name}(void)\n{{\n" + "\tx++;\n" * (lines - 3) + "}\n"


@pytest.mark.parametrize("text, said", [
    (function("fits", 70), None),
    (function("grew", 71), "grew has 71 lines"),
    (function("one", 60) + "\n" + function("two", 60), None),
    ("static int *wide(int a,\n\tint b)\n" + function("", 72).split("\n", 1)[1], "wide has 73 lines"),
    ("static const struct row rows[] = {\n" + "\t{ 1 },\n" * 100 + "};\n", None),
    ("struct big {\n" + "\tint a;\n" * 100 + "};\n", None),
    ("/* a */\n" * 600, None),
    ("/* a */\n" * 601, "601 lines"),
])
def test_budgets_of_c(tmp_path, text, said):
    code, output = ran(ROOT / "tools/check-budgets", tree(tmp_path, {"base/a.c": text}))
    assert code == (1 if said else 0), output
    assert (said or "") in output


def test_budgets_of_python(tmp_path):
    code, output = ran(ROOT / "tools/check-budgets", tree(tmp_path, {"tests/a.py": "def f():\n" + "    x = 1\n" * 70}))
    assert code == 1 and "f has 71 lines" in output


def core(at, text):
    tree(at, {"core/a.c": text})
    for words in (["gcc", "-O1", "-fPIE", "-c", at / "core/a.c", "-o", at / "a.o"], ["ar", "rcs", at / "core.a", at / "a.o"]):
        assert ran(*words) == (0, "")
    return ran(ROOT / "tools/check-core", at / "core.a")


@pytest.mark.parametrize("text, said", [
    ("#include <string.h>\nint f(const char *s) { return (int)strlen(s) + !!memchr(s, 1, 9); }", None),
    ('static const char *const names[] = { "a", "b" };\nconst char *f(int i) { return names[i & 1]; }', None),
    ("int f(void) { static int n; return ++n; }", ".bss"),
    ("int n = 3;", ".data"),
    ("_Thread_local int n;", ".tbss"),
    ("#include <unistd.h>\nint f(void) { return getpid(); }", "calls getpid"),
    ("#include <time.h>\nlong f(void) { return time(0); }", "calls time"),
    ("#include <string.h>\nchar *f(const char *s) { return strdup(s); }", "calls strdup"),
    ("#include <stdlib.h>\nvoid *f(void) { return malloc(3); }", "calls malloc"),
])
def test_core_is_pure(tmp_path, text, said):
    code, output = core(tmp_path, text + "\n")
    assert code == (1 if said else 0), output
    assert (said or "") in output


CMOCKA = """
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>
static void test_good(void **s) { (void)s; }
static void test_it(void **s) { (void)s; BODY; }
int main(void)
{
	const struct CMUnitTest all[] = { cmocka_unit_test(test_good), cmocka_unit_test(test_it), cmocka_unit_test(test_good) };
	return cmocka_run_group_tests(all, NULL, NULL);
}
"""


def runner_says(at, body, skips=""):
    """What tests/run.py makes of one cmocka program, and its exit code."""
    tree(at, {"tests/skips.txt": skips, "tests/unit/test_x.c": f"/* timeout: 2 s */\n#define BODY {body}\n{CMOCKA}"})
    shutil.copy(ROOT / "tests/run.py", at / "tests/run.py")
    (at / "tests/lib").mkdir()
    for part in (ROOT / "tests/lib").glob("run_*.py"):
        shutil.copy(part, at / "tests/lib")
    (at / "build/debug/tests/unit").mkdir(parents=True)
    assert ran("gcc", at / "tests/unit/test_x.c", "-o", at / "build/debug/tests/unit/test_x", "-lcmocka") == (0, "")
    (at / "tests/one.py").write_text(
        "import sys, run\nr = run.Run()\nr.unit('debug')\nr.children.close()\nsys.exit(r.results.close(0))\n")
    r = subprocess.run(["python3", at / "tests/one.py"], capture_output=True, text=True, check=False, timeout=60,
                       env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    return r.returncode, r.stdout.splitlines()[-1], r.stdout + r.stderr


@pytest.mark.parametrize("body, code, last", [
    ("", 0, "3 passed, 0 failed, 0 skipped"),
    ("fail()", 1, "2 passed, 1 failed, 0 skipped"),
    ("abort()", 1, "1 passed, 1 failed, 0 skipped"),
    ("exit(0)", 1, "1 passed, 1 failed, 0 skipped"),
    ("for (;;) sleep(1)", 1, "1 passed, 1 failed, 0 skipped"),
    ("skip()", 1, "2 passed, 1 failed, 0 skipped"),
    ("if (!fork()) { setsid(); close(1); close(2); for (;;) sleep(1); }", 1, "3 passed, 1 failed, 0 skipped"),
], ids=["good", "fails", "crashes", "ends early", "hangs", "skips unlisted", "leaves a process"])
def test_runner_counts(tmp_path, body, code, last):
    got = runner_says(tmp_path, body)
    assert got[:2] == (code, last), got[2]


def test_runner_takes_a_listed_skip(tmp_path):
    got = runner_says(tmp_path, "skip()", "debug unit/test_x::test_it\tbecause\ngone\tno more\nempty\t\n")
    assert got[1] == "2 passed, 0 failed, 1 skipped", got[2]
    assert got[0] == 1 and "a reason are expected" in got[2], "an entry without a reason fails the run"
    assert "gone was not skipped" in got[2] and "(because)" in got[2]


def test_runner_that_ran_nothing_fails(tmp_path):
    """No test at all is not a success."""
    tree(tmp_path, {"tests/skips.txt": ""})
    shutil.copytree(ROOT / "tests/lib", tmp_path / "tests/lib", ignore=shutil.ignore_patterns("*.c", "*.h", "__pycache__"))
    shutil.copy(ROOT / "tests/run.py", tmp_path / "tests/run.py")
    (tmp_path / "tests/one.py").write_text("import sys, run\nr = run.Run()\nr.children.close()\nsys.exit(r.results.close(0))\n")
    code, said = ran("python3", tmp_path / "tests/one.py")
    assert code == 1 and said.splitlines()[-1] == "0 passed, 0 failed, 0 skipped", said


def test_nothing_to_install_needs_nothing(tmp_path):
    """With every package there, the installer says nothing, and asks neither apt-get nor sudo for anything."""
    for name in ("apt-get", "sudo"):
        fake = tmp_path / name
        fake.write_text(f"#!/bin/sh\necho {name} was called\nexit 1\n")
        fake.chmod(0o755)
    r = subprocess.run([ROOT / "tools/install-deps"], capture_output=True, text=True, check=False, timeout=60,
                       env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert (r.returncode, r.stdout, r.stderr) == (0, "", "")


def test_package_missing_is_named_and_asked_for(tmp_path):
    """A machine that lacks one package: it is said, and it alone is installed."""
    fakes = {"dpkg-query": 'tools="$PWD/tools/install-deps"; "$tools" --list | grep -v cmocka | sed "s/$/ installed/"; exit 1\n',
             "sudo": 'exec "$@"\n', "apt-get": f'echo "$@" >>{tmp_path}/asked\n'}
    for name, text in fakes.items():
        fake = tmp_path / name
        fake.write_text("#!/bin/sh\n" + text)
        fake.chmod(0o755)
    r = subprocess.run([ROOT / "tools/install-deps"], capture_output=True, text=True, check=False, timeout=60, cwd=ROOT,
                       env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert r.returncode == 0 and "installing libcmocka-dev\n" in r.stdout, r.stdout + r.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0].endswith("update") and asked[1].endswith("install libcmocka-dev"), asked
