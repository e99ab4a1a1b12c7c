"""Procedural instruction edits: words, and a deterministic function of the photograph that shows what they ask for."""

from mobie_coreml.edits.catalogue import EDITS, find_edit, wrong_instruction
from mobie_coreml.edits.edit import GROUPS, Edit, Group

__all__ = ["EDITS", "GROUPS", "Edit", "Group", "find_edit", "wrong_instruction"]
