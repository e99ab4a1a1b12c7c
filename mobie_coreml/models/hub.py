"""Fetching single files of a Hugging Face hub repository at one commit."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mobie_coreml.errors import InputError, MobieError, WorkError


@dataclass(frozen=True)
class Download:
    """A folder with the files asked for, the name and commit they came from, and the licence it states."""

    name: str
    revision: str | None
    licence: str
    folder: Path


def is_hub_id(text: str) -> bool:
    """Whether `text` has the form owner/name."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", text) is not None


def fetch(
    hub_id: str, revision: str | None, wanted: Callable[[list[str], Callable[[str], str]], list[str]]
) -> Download:
    """Downloads what `wanted` chooses from the names of a repository's files.

    A branch, a tag or no revision at all is resolved to a commit first, and everything is fetched at that commit.

    Args:
        hub_id: owner/name.
        revision: Commit, tag or branch; the default branch by default.
        wanted: Takes all file names and a function that gives a file's text; returns the names to fetch.

    Raises:
        InputError: there is no such repository or revision.
        WorkError: the hub cannot be reached.
    """
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        info = huggingface_hub.HfApi().model_info(hub_id, revision=revision)
        commit = info.sha
        if not commit:
            raise WorkError(f"The hub did not say which commit of {hub_id} it has.")
        names = [file.rfilename for file in info.siblings or []]

        def read(name: str) -> str:
            return Path(huggingface_hub.hf_hub_download(hub_id, name, revision=commit)).read_text(encoding="utf-8")

        folder = huggingface_hub.snapshot_download(hub_id, revision=commit, allow_patterns=wanted(names, read))
    except RevisionNotFoundError as error:
        raise InputError(
            f"The hub's {hub_id} has no revision {revision}.", "Give a commit, a tag or a branch."
        ) from error
    except GatedRepoError as error:
        raise InputError(f"The hub's {hub_id} asks for a log-in.", "Log in with `hf auth login` first.") from error
    except RepositoryNotFoundError as error:
        raise InputError(f"There is no folder and no hub repository {hub_id}.", "Check the name.") from error
    except MobieError:
        raise
    except Exception as error:  # which HTTP library the hub's client raises from depends on its version
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WorkError(
            f"{hub_id} cannot be fetched from the hub: {first_line}", "Download it elsewhere and import the folder."
        ) from error
    licence = getattr(info.card_data, "license", None) if info.card_data else None
    return Download(hub_id, commit, str(licence or "unknown"), Path(folder))
