"""What can be wrong with a package, one class a kind, so that callers can tell them apart."""

from palettization.errors import PackageError


class PackageLayoutError(PackageError):
    """The path is not a package: wrong kind of file, no manifest, a manifest that does not say where the model is."""


class UnsafePathError(PackageLayoutError):
    """A name inside the package points outside it: '..', an absolute path or a link that leaves the folder."""


class SpecError(PackageError):
    """The specification is not a readable ML Program."""


class BlobError(PackageError):
    """A weight file is truncated, damaged or does not hold what the specification says."""


class ConstantError(PackageError):
    """A constant in the specification contradicts its own type or cannot be represented as an array."""


class WeightFormError(PackageError):
    """The operands of a `constexpr_*` operation do not fit together or its form is unknown."""


class PackageExistsError(PackageError):
    """The output exists already."""


class PackageWriteError(PackageError):
    """The package could not be written: no space, no permission."""

    exit_code = 3
