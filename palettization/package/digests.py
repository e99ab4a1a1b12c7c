"""SHA-256 digests of packages over plain file bytes, so that any language can repeat them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from palettization.package.errors import PackageLayoutError


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes in lower-case hex, read in 4 MiB pieces."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(1 << 22):
            digest.update(piece)
    return digest.hexdigest()


def tree_digests(path: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder.

    Returns:
        {path relative to the folder with '/': lower-case hex}, sorted by path (code points).

    Raises:
        PackageLayoutError: not a folder, or it holds something else than folders and regular files.
    """
    if not path.is_dir():
        raise PackageLayoutError(f"{path} is not a folder.")
    found: dict[str, Path] = {}
    for item in path.rglob("*"):
        relative = item.relative_to(path).as_posix()
        if item.is_symlink() or not (item.is_file() or item.is_dir()):
            raise PackageLayoutError(
                f"{item} is a link or special file.", "Copy the package with links followed: cp -RL."
            )
        if item.is_file():
            found[relative] = item
    return {relative: sha256_file(found[relative]) for relative in sorted(found)}


def combined_digest(digests: dict[str, str]) -> str:
    """One SHA-256 over the digests of files.

    It hashes the UTF-8 text of one line a file in sorted order of paths: the file's lower-case hex digest, two spaces,
    its path, a line feed. That is what `sha256sum` prints, so `sha256sum` of its output gives the same.
    """
    text = "".join(f"{digests[relative]}  {relative}\n" for relative in sorted(digests))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def package_digest(path: Path) -> str:
    """One SHA-256 for all names and bytes of a package: `combined_digest` of `tree_digests`.

    Raises:
        PackageLayoutError: as `tree_digests`.
    """
    return combined_digest(tree_digests(path))
