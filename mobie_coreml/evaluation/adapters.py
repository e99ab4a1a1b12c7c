"""Networks that judge images from weights that the user has: CLIP through transformers, LPIPS through torchmetrics.

Nothing here has weights of its own, and nothing stands in for them.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mobie_coreml.errors import InputError
from mobie_coreml.evaluation.frames import Pixels

Embeddings = npt.NDArray[np.float64]
"""(N, D), every row of length 1."""

_INSTALL = "Install what it needs: pip install 'mobie-coreml[perceptual]'."


class ClipScorer:
    """CLIP (Radford et al. 2021, arXiv 2103.00020).

    Args:
        model: Folder with weights (safetensors), tokenizer and preprocessor of a `CLIPModel`, or its id on the hub.

    Raises:
        InputError: transformers is missing, or there is no such model.
    """

    def __init__(self, model: str) -> None:
        try:
            from transformers import AutoImageProcessor, CLIPModel, CLIPTokenizer
        except ImportError as error:
            raise InputError("--clip-model needs transformers, which is not installed.", _INSTALL) from error
        self.name = model
        try:
            with _quiet():
                self._network = CLIPModel.from_pretrained(model, use_safetensors=True).eval()
                self._tokenizer = CLIPTokenizer.from_pretrained(model)
                self._processor = AutoImageProcessor.from_pretrained(model)
        except (OSError, ValueError, TypeError, KeyError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(
                f"--clip-model {model} cannot be loaded: {first}",
                "Give a folder that holds a CLIP model with its tokenizer and preprocessor, or an id that this "
                "machine can download.",
            ) from error

    def images(self, frames: Pixels) -> Embeddings:
        """Embeddings of (N, H, W, 3) uint8 RGB; N at least 1."""
        import torch

        with torch.inference_mode(), _quiet():
            inputs = self._processor(images=list(frames), return_tensors="pt")
            return _unit(self._network.get_image_features(pixel_values=inputs["pixel_values"]))

    def texts(self, texts: Sequence[str]) -> Embeddings:
        """Embeddings of sentences, at least one."""
        import torch

        with torch.inference_mode(), _quiet():
            inputs = self._tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
            return _unit(self._network.get_text_features(**inputs))


class LpipsScorer:
    """LPIPS (Zhang et al. 2018, arXiv 1801.03924) on AlexNet, as torchmetrics computes it.

    Raises:
        InputError: torchmetrics or torchvision is missing, or AlexNet's weights are not on this machine and cannot be
            downloaded.
    """

    name = "alex"

    def __init__(self) -> None:
        try:
            from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
        except ImportError as error:
            raise InputError("--lpips needs torchmetrics, which is not installed.", _INSTALL) from error
        try:
            with _quiet():
                # Called with one pair, the mean over the batch is that pair's distance.
                self._metric = LearnedPerceptualImagePatchSimilarity(net_type=self.name, normalize=True).eval()
        except ModuleNotFoundError as error:
            raise InputError("--lpips needs torchvision, which is not installed.", _INSTALL) from error
        except OSError as error:
            raise InputError(
                f"--lpips: the weights of {self.name} cannot be had: {error}.",
                "Download them once on a machine with network: torchvision keeps them in torch's hub cache.",
            ) from error

    def distances(self, truths: Pixels, results: Pixels) -> list[float]:
        """Distance of every result to its truth; (N, H, W, 3) uint8 RGB each."""
        import torch

        with torch.inference_mode(), _quiet():
            return [
                float(self._metric(*(_planes(image) for image in pair))) for pair in zip(truths, results, strict=True)
            ]


def _planes(image: Pixels) -> Any:
    """(1, 3, H, W) float32, 0..1."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)[None])).float() / 255


def _unit(features: Any) -> Embeddings:
    # transformers 5 returns an object that holds the features, 4 the features.
    values = np.asarray(getattr(features, "pooler_output", features).float().numpy(), np.float64)
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither warnings nor progress bars of other libraries."""
    with warnings.catch_warnings(action="ignore"), contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError):
            from transformers.utils import logging

            level = logging.get_verbosity()
            stack.callback(logging.set_verbosity, level)
            logging.set_verbosity_error()
            logging.disable_progress_bar()
            stack.callback(logging.enable_progress_bar)
        yield
