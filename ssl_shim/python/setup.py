"""Builds the extension with the tree's Makefile, which knows how: pip install ./ssl_shim/python"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parents[2]


def version():
    return re.search(r'#define VERSION "(.*)"', (ROOT / "dtls" / "context.c").read_text())[1]


class MakeExtension(build_ext):
    def build_extension(self, ext):
        build = Path(self.build_temp).resolve()
        subprocess.run(["make", "-C", ROOT, f"BUILD={build}", f"PYTHON={sys.executable}", "python"], check=True)
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(build / "python" / "ssl_shim" / target.name, target)


# Nothing is left behind in the source tree.
scratch = tempfile.TemporaryDirectory()

setup(
    version=version(),
    ext_modules=[Extension("ssl_shim._ssl_shim", sources=[], py_limited_api=True)],
    cmdclass={"build_ext": MakeExtension},
    options={
        "build": {"build_base": scratch.name},
        "egg_info": {"egg_base": scratch.name},
        "bdist_wheel": {"py_limited_api": "cp311"},
    },
)
