"""`mobie.json`, the contract between converted models and whoever runs them."""

from mobie_coreml.manifest.content import COMPONENT_NAMES, FILE_NAME, SCHEMA_VERSION, Manifest
from mobie_coreml.manifest.folder import ModelFolder
from mobie_coreml.manifest.read import ManifestError, load_manifest, save_manifest, schema
from mobie_coreml.manifest.verify import Problem, Verification, verify_model

__all__ = [
    "COMPONENT_NAMES",
    "FILE_NAME",
    "SCHEMA_VERSION",
    "Manifest",
    "ManifestError",
    "ModelFolder",
    "Problem",
    "Verification",
    "load_manifest",
    "save_manifest",
    "schema",
    "verify_model",
]
