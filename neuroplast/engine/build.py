"""Compile the generated program, or find it in the cache."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from neuroplast.errors import BuildError

TEMPLATES = Path(__file__).parent / "templates"

#: -fno-finite-math-only keeps NaN checks alive but hides __FAST_MATH__, without which glibc offers no vector tanh.
FLAGS = [
    "-std=c++14", "-O3", "-march=native", "-ffast-math", "-fno-finite-math-only", "-D__FAST_MATH__",
    "-fno-semantic-interposition", "-w", "-pthread",
]  # fmt: skip


def have_compiler():
    """Whether a C++ compiler can be found (``c++``, ``g++`` or ``clang++``, or Brian2's preference)."""
    return compiler() is not None


def compiler():
    """Path of the C++ compiler, or None."""
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and shutil.which(name):
            return shutil.which(name)
    return None


def sources(device, buffers):
    """The two files that are compiled: what runs in the loops, and what runs once.

    The first includes every generated operation. Support code stands in anonymous namespaces under the same names in
    each of them; a namespace for each operation keeps them apart. Headers are included before, so that their guards
    keep them out of the namespaces. The second holds Brian2's own files, which are as much work to compile and are
    not worth optimising.

    Returns
    -------
    hot, cold : str
    """
    objects = list(device.code_objects.values())
    # What Brian2's main() calls, by the name that it knows. The schedule has no need of it, and a second copy of each
    # operation takes a tenth of the time to compile.
    called = {
        f"{kind.removesuffix('_code_object')}_{args[0].name}"
        for kind, args in device.main_queue
        if kind.endswith("_code_object")
    }
    hot = ['#include "standard.h"', '#include "objects.h"', '#include "neuroplast.h"', '#include "record.h"', buffers]
    hot += [f'#include "{name}"' for name in ("network.h", "run.h", "synapses_classes.h", "brianlib/common_math.h",
                                             "brianlib/stdint_compat.h")]  # fmt: skip
    for codeobj in objects:
        functions = [codeobj.name, *(f"{block}_{codeobj.name}" for block in codeobj.before_after_blocks)]
        for function in functions:
            hot.append(f'#include "code_objects/{function}.h"')
            run = function if function != codeobj.name else f"run_{function}"
            hot.append(f'namespace _op_{codeobj.name} {{\n#include "code_objects/{function}.cpp"\n}}')
            if run in called:
                hot.append(f"void _{run}() {{ _op_{codeobj.name}::_{run}(); }}")
    hot.append('#include "schedule.cpp"')
    files = sorted(device.writer.source_files - {"main.cpp", "schedule.cpp"})
    cold = [f'#include "{name}"' for name in [*files, "main.cpp"] if not name.startswith("code_objects/")]
    return "\n".join(hot) + "\n", "\n".join(cold) + "\n"


def cache_dir():
    """Folder of compiled programs: ``NEUROPLAST_CACHE``, or ``neuroplast`` in the user's cache folder."""
    if os.environ.get("NEUROPLAST_CACHE"):
        return Path(os.environ["NEUROPLAST_CACHE"]).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "neuroplast"


@lru_cache
def compiler_identity(path):
    """What a binary depends on besides its source: compiler version and processor."""
    version = subprocess.run([path, "--version"], capture_output=True, text=True).stdout.splitlines()[:1]
    cpu = platform.machine()
    try:
        info = Path("/proc/cpuinfo").read_text()
        fields = ("model name", "flags", "Features", "CPU part")
        cpu += "\n".join(line for line in info.split("\n\n")[0].splitlines() if line.startswith(fields))
    except OSError:
        cpu += platform.processor()
    return "\n".join([*version, cpu])


def flags(device):
    """Compiler and linker flags of a simulation: (compile, link)."""
    compile_flags, link = list(FLAGS), ["-pthread"]
    if device.dtype == np.float32 and device.longest_loop < 128 and platform.machine() in ("x86_64", "AMD64"):
        # Half of a row of 30 is left over from vectors of 16, and what is left over goes element by element. In a
        # batch loops are long, and vectors of 16 make a tanh in a third of the time.
        compile_flags.append("-mprefer-vector-width=256")
    if device.blas is not None:
        compile_flags += device.blas.compile_flags
        link += device.blas.link_flags
    return compile_flags, link


def build(device, project, buffers):
    """Path of the compiled program of the sources in `project`.

    Parameters
    ----------
    device : CppDevice
        Has written its sources.
    project : Path
        Folder with the sources.
    buffers : str
        C++ declarations that come first.

    Returns
    -------
    binary : Path
    cached : bool
        Whether it was in the cache.

    Raises
    ------
    BuildError
        No compiler, or it failed; ends with the compiler's last lines.
    """
    path = compiler()
    if path is None:
        raise BuildError(
            "No C++ compiler found (looked for $CXX, g++, clang++, c++). Install one, or use target='numpy'."
        )
    parts = [project / "hot.cpp", project / "cold.cpp"]
    for part, text in zip(parts, sources(device, buffers), strict=True):
        part.write_text(text)
    compile_flags, link = flags(device)
    digest = hashlib.sha256()
    version = device.blas.version if device.blas is not None else "no BLAS"
    for text in (path, compiler_identity(path), version, *compile_flags, *link):
        digest.update(text.encode() + b"\0")
    headers = sorted(TEMPLATES.glob("*.h"))
    generated = [project / name for name in sorted(device.writer.source_files | device.writer.header_files)]
    for file in [*parts, *headers, *generated]:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    folder = cache_dir()
    binary = folder / digest.hexdigest()[:32]
    if binary.exists():
        return binary, True
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder)
    except OSError as error:
        raise BuildError(
            f"The cache folder {folder} cannot be written ({error.strerror}). Set NEUROPLAST_CACHE to one that can."
        ) from error
    os.close(handle)
    with _alone(binary.with_suffix(".lock")):
        if binary.exists():
            os.unlink(temporary)
            return binary, True
        _build(path, parts, compile_flags, link, project, temporary)
        os.replace(temporary, binary)  # a process that only looks cannot see a half-written file
    return binary, False


def _build(path, parts, compile_flags, link, project, temporary):
    includes = [f"-I{project}", f"-I{TEMPLATES}"]
    objects = [part.with_suffix(".o") for part in parts]
    try:
        _compile(
            [path, *compile_flags, *includes, *level, "-c", str(part), "-o", str(obj)]
            for level, part, obj in zip(([], ["-O0"]), parts, objects, strict=True)  # the last level counts
        )
        _compile([[path, *map(str, objects), "-o", temporary, *link]])
    except BaseException:
        os.unlink(temporary)
        raise
    os.chmod(temporary, 0o755)


@contextlib.contextmanager
def _alone(path):
    """Hold a lock file: of several processes that want the same program at once, one compiles and the others wait."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            break  # a file system without locks: at worst, it is compiled twice
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                break
        os.close(handle)  # the one that held it has removed it
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _compile(commands):
    """Run compiler commands side by side; the first that fails gives the error."""
    running = [subprocess.Popen(c, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for c in commands]
    outputs = [process.communicate()[0] for process in running]
    for process, output in zip(running, outputs, strict=True):
        if process.returncode:
            last = "\n".join(output.splitlines()[-25:])
            raise BuildError(f"The C++ compiler failed (exit status {process.returncode}):\n{last}")
