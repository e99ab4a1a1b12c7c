"""Builds the wheel, installs it into an empty environment and edits one frame with it, outside the source tree."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def call(*command: str | Path, cwd: Path) -> None:
    """Runs a command, shown on screen; a failure ends the script with the command's exit code."""
    print("$", " ".join(Path(part).name if isinstance(part, Path) else part for part in command), flush=True)
    done = subprocess.run([str(part) for part in command], cwd=cwd, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def main() -> None:
    """Raises SystemExit with the failing step's code."""
    with tempfile.TemporaryDirectory(prefix="mobie-wheel-") as name:
        folder = Path(name)
        call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
        wheel = next(folder.glob("*.whl"))
        venv.create(folder / "env", with_pip=True)
        python = folder / "env" / "bin" / "python"
        call(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel, cwd=folder)
        mobie = folder / "env" / "bin" / "mobie"
        drawing = folder / "frame.png"
        call(
            python,
            "-c",
            "from PIL import Image; Image.linear_gradient('L').resize((256, 192)).convert('RGB').save('frame.png')",
            cwd=folder,
        )
        call(mobie, "--version", cwd=folder)
        call(mobie, "convert", "nano", "model", "--quiet", cwd=folder)
        call(mobie, "edit", "model", drawing, "edited.png", "--prompt", "make it snow", "--quiet", cwd=folder)
        if not (folder / "edited.png").stat().st_size:
            sys.exit("The edited frame is empty.")
        print("The wheel converts and edits on its own.")


if __name__ == "__main__":
    main()
