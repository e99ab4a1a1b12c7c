"""What this machine can do, and how to get the rest."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from dataclasses import dataclass

REQUIRED = ("torch", "coremltools", "numpy", "safetensors", "av", "Pillow", "huggingface-hub", "jsonschema")
EXTRAS = {
    "train": ("accelerate", "matplotlib"),
    "evaluate": ("opencv-python-headless",),
    "interop": ("diffusers", "transformers"),
}


@dataclass(frozen=True, slots=True)
class Ability:
    """Something the toolkit does.

    Attributes:
        name: What.
        available: Whether this machine can.
        detail: With what, or why not.
        remedy: How to get it; empty where it is there.
    """

    name: str
    available: bool
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `mobie doctor` finds.

    Attributes:
        system: Operating system and machine.
        python: Version.
        cores: CPU cores that this process may use.
        memory_gb: Physical memory in 10^9 bytes, None where the system doesn't tell.
        versions: Version of each library, None where it isn't installed.
        abilities: What can be done here.
    """

    system: str
    python: str
    cores: int
    memory_gb: float | None
    versions: dict[str, str | None]
    abilities: tuple[Ability, ...]

    @property
    def healthy(self) -> bool:
        """Whether everything the toolkit needs is installed."""
        return all(self.versions[name] is not None for name in REQUIRED)


def diagnose() -> Diagnosis:
    """Looks at this machine; nothing heavy is imported."""
    names = ("mobie-coreml", *REQUIRED, *(name for extra in EXTRAS.values() for name in extra))
    versions = {name: _version(name) for name in names}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Diagnosis(
        system=f"{platform.system()} {platform.release()} ({platform.machine()})",
        python=platform.python_version(),
        cores=cores,
        memory_gb=_memory(),
        versions=versions,
        abilities=tuple(_abilities(versions)),
    )


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _memory() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (ValueError, OSError, AttributeError):
        return None


def _abilities(versions: dict[str, str | None]) -> list[Ability]:
    def needs(name: str, libraries: tuple[str, ...], extra: str = "") -> Ability:
        missing = [library for library in libraries if versions[library] is None]
        package = f"mobie-coreml[{extra}]" if extra else "mobie-coreml"
        if missing:
            return Ability(name, False, f"{', '.join(missing)} missing", f"pip install '{package}'")
        return Ability(name, True, ", ".join(f"{library} {versions[library]}" for library in libraries))

    abilities = [
        needs("convert checkpoints", ("torch", "coremltools", "safetensors")),
        needs("run packages with our executor (--runtime mil)", ("torch", "coremltools")),
        _core_ml(),
        needs("edit clips", ("torch", "av", "Pillow")),
        needs("train", EXTRAS["train"], "train"),
        needs("evaluate with optical flow", EXTRAS["evaluate"], "evaluate"),
        needs("compare with diffusers and transformers", EXTRAS["interop"], "interop"),
        _swift(),
    ]
    return abilities


def _core_ml() -> Ability:
    name = "run packages with Core ML (--runtime coreml)"
    if platform.system() != "Darwin":
        return Ability(name, False, "Core ML exists on Apple platforms only", "use a Mac with macOS 14 or later")
    version = platform.mac_ver()[0]
    if int(version.split(".")[0] or 0) < 14:
        return Ability(name, False, f"macOS {version}", "update to macOS 14 or later")
    return Ability(name, True, f"macOS {version}")


def _swift() -> Ability:
    path = shutil.which("swift")
    if path is None:
        return Ability(
            "build the Swift package", False, "swift was not found", "install Swift 6 (swift.org) or Xcode 16"
        )
    return Ability("build the Swift package", True, path)
