"""Build the wheel, look inside, install it alone and use it: symlinked packages must not get lost."""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
PACKAGES = ("probe_bench", "probe_bench.encoders", "probe_bench.tasks", "probe_bench.reports")
DATA = (
    "probe_bench/py.typed",
    "probe_bench/encoders/wavjepa/tiny.safetensors",
    "probe_bench/encoders/audio_jepa/tiny.safetensors",
    "probe_bench/reports/templates/report.html.jinja",
)


def shell(*command: str | Path, cwd: Path) -> str:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
    return result.stdout


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        outside = Path(folder)
        shell(BIN / "uv", "build", "--quiet", "--wheel", "--out-dir", outside, ROOT, cwd=outside)
        (wheel,) = outside.glob("*.whl")
        shell(BIN / "check-wheel-contents", "--toplevel", "probe_bench", wheel, cwd=outside)
        names = shell(sys.executable, "-m", "zipfile", "-l", wheel, cwd=outside)
        missing = [name for name in DATA if name not in names]
        if missing:
            sys.exit(f"{wheel.name} lacks {', '.join(missing)}")
        # A bare environment for the wheel, the dependencies borrowed from this one by path.
        shell(BIN / "uv", "venv", "--quiet", "--python", sys.executable, "fresh", cwd=outside)
        python = outside / "fresh/bin/python"
        shell(
            BIN / "uv",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--python",
            python,
            wheel,
            cwd=outside,
        )
        site = shell(sys.executable, "-c", "import jinja2; print(jinja2.__path__[0])", cwd=outside)
        (borrowed,) = (outside / "fresh/lib").glob("python*/site-packages")
        (borrowed / "borrowed.pth").write_text(str(Path(site.strip()).parent))
        shell(python, "-c", f"import {', '.join(PACKAGES)}", cwd=outside)
        shell(outside / "fresh/bin/probe-bench", "--help", cwd=outside)
        listed = shell(outside / "fresh/bin/probe-bench", "list", "encoders", cwd=outside)
        if "wavjepa" not in listed or "audio-jepa" not in listed:
            sys.exit(f"the installed wheel does not list the bundled encoders:\n{listed}")
    print(f"{wheel.name}: complete, installs and runs outside the checkout")


if __name__ == "__main__":
    main()
