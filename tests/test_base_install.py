"""What works with the base dependencies alone: a device installs neither PyTorch nor the ONNX tools."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support import ROOT

NOT_ON_A_DEVICE = ["onnx", "onnxscript", "safetensors", "skimage", "torch"]

BLOCK = f"""
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {NOT_ON_A_DEVICE}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
sys.path.insert(0, {str(ROOT)!r})
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCK + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run(f"sys.argv = ['tremorscope', *{arguments!r}]\nfrom tremorscope import cli\ncli.main()")


ALONE = "from tremorscope.runtime.host.threads import load_scipy_alone; load_scipy_alone()\n"
"""As `tremorscope run` begins."""


def test_the_service_loads_no_library_that_it_does_not_need_at_rest() -> None:
    """scipy.signal and scipy.stats take 25 MB, rooms of NumPy that nobody enters 8, rotations 2, pyuff 2."""
    heavy = ["matplotlib", "numpy.f2py", "numpy.ma", "numpy.testing", "pandas", "pyuff", "scipy.constants"]
    heavy += ["scipy.integrate", "scipy.signal", "scipy.spatial.transform", "scipy.stats", "unittest"]
    loaded = f"print([name for name in {heavy} if name in sys.modules])"
    done = run(
        f"{ALONE}import tremorscope.runtime.service.running, tremorscope.runtime.outputs.web.server\n{loaded}"
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert "load_scipy_alone()" in (ROOT / "tremorscope" / "commands" / "run.py").read_text(encoding="utf-8")


def test_what_the_service_leaves_out_can_be_imported_still() -> None:
    used = """
import numpy as np
from scipy.spatial.transform import Rotation
np.testing.assert_equal(np.ma.masked_array([1.0], [True]).count(), 0)
print(np.polynomial.Polynomial([1, 2])(3), Rotation.from_euler("z", 90, degrees=True).apply([1, 0, 0]).round(9)[1])
"""
    assert run(f"{ALONE}{used}").stdout == "7.0 1.0\n"
    assert run(f"import scipy.spatial\n{ALONE}{used}").stdout == "7.0 1.0\n"


def test_the_block_works() -> None:
    done = run("import torch")
    assert done.returncode == 1
    assert "No module named 'torch'" in done.stderr


def test_runtime_is_imported_with_no_camera_and_no_engine() -> None:
    done = run("import tremorscope.runtime; print(sorted({name.partition('.')[0] for name in sys.modules}))")
    assert done.returncode == 0, done.stderr
    for heavy in ("av", "cuda", "gi", "onnxruntime", "pycuda", "tensorrt", "matplotlib", "scipy"):
        assert f"'{heavy}'" not in done.stdout


def commands() -> list[str]:
    sys.path.insert(0, str(ROOT))
    from tremorscope import cli

    return list(cli.COMMANDS)


@pytest.mark.parametrize("command", commands())
def test_every_subcommand_tells_its_help(command: str) -> None:
    done = run_command(command, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: tremorscope {command}")


def test_every_module_of_the_runtime_is_imported() -> None:
    modules = [
        ".".join(("tremorscope", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for path in sorted((ROOT / "runtime").rglob("*.py"))
    ]
    needs_a_device = ("pycuda_gpu", "gstreamer.load")
    wanted = [module for module in modules if not module.endswith(needs_a_device)]
    assert len(wanted) > 150
    done = run(f"import importlib\nfor name in {wanted}: importlib.import_module(name)")
    assert done.returncode == 0, done.stderr


def test_a_magnified_clip_needs_no_more(clip: object, linear_bundle: object, tmp_path: object) -> None:
    done = run_command(
        "magnify", str(clip), "-o", f"{tmp_path}/o.mp4", "-a", "5", "--bundle", str(linear_bundle)
    )
    assert done.returncode == 0, done.stderr
    assert "frames         10" in done.stdout
