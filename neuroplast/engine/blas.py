"""Where the BLAS for the compiled target is, and how to compile and link against it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

from neuroplast.errors import BuildError

PACKAGE = "scipy-openblas32"
_INSTALL = f"Install it again with 'pip install --force-reinstall {PACKAGE}', or use target='numpy'."


@dataclass(frozen=True)
class Blas:
    """A BLAS library with its C headers.

    Attributes
    ----------
    include_dir : str
        Folder of ``cblas.h``.
    library_dir : str
        Folder of the shared library.
    library : str
        The library's name as the linker wants it, without ``lib`` and suffix.
    prefix : str
        What the library puts before every symbol, ``scipy_`` for the wheel.
    version : str
        Version of the installed package; part of a build's identity.
    """

    include_dir: str
    library_dir: str
    library: str
    prefix: str
    version: str

    @property
    def compile_flags(self):
        """Flags (list of str) for sources that include ``gemm.h``."""
        return [f"-I{self.include_dir}", f"-DNEUROPLAST_BLAS_PREFIX={self.prefix}"]

    @property
    def link_flags(self):
        """Flags (list of str) for the linker, after the sources; the library is found at run time too."""
        return [f"-L{self.library_dir}", f"-l{self.library}", f"-Wl,-rpath,{self.library_dir}"]


def find():
    """Find the BLAS of the wheel scipy-openblas32.

    The package is located but not imported: importing it would load its library, and start its threads, in
    this process.

    Returns
    -------
    blas : Blas

    Raises
    ------
    BuildError
        If the package is not installed, or its header or library is not where it should be.
    """
    spec = importlib.util.find_spec("scipy_openblas32")
    if spec is None or spec.origin is None:
        raise BuildError(
            f"BLAS not found: the Python package {PACKAGE}, which brings the library and its headers, is not "
            f"installed. Install it with 'pip install {PACKAGE}', or use target='numpy'."
        )
    return read_package(Path(spec.origin).parent, importlib.metadata.version(PACKAGE))


def read_package(folder, version):
    """Find header, library and symbol prefix in an unpacked scipy-openblas32.

    Parameters
    ----------
    folder : path
        The package's folder, with ``include`` and ``lib`` in it.
    version : str

    Returns
    -------
    blas : Blas

    Raises
    ------
    BuildError
        If ``cblas.h`` or the library is missing, or the header declares no ``cblas_dgemm``.
    """
    include_dir, library_dir = Path(folder) / "include", Path(folder) / "lib"
    header = include_dir / "cblas.h"
    if not header.is_file():
        raise BuildError(f"BLAS: no header {header}. {_INSTALL}")
    declared = re.search(r"\b(\w*)cblas_dgemm\s*\(", header.read_text(errors="replace"))
    if declared is None:
        raise BuildError(f"BLAS: {header} declares no cblas_dgemm. {_INSTALL}")
    libraries = sorted(path for path in library_dir.glob("lib*openblas*") if path.suffix in (".so", ".dylib"))
    if not libraries:
        raise BuildError(f"BLAS: no lib*openblas*.so or .dylib in {library_dir}. {_INSTALL}")
    return Blas(str(include_dir), str(library_dir), libraries[0].stem[3:], declared[1], version)


__all__ = ["Blas", "find", "read_package"]
