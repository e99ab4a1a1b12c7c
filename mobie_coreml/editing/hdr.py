"""High dynamic range to the standard one: PQ and HLG signals become BT.709 signals with compressed highlights.

Per pixel, in light relative to diffuse white (203 cd/m2, ITU-R BT.2408):

    light     of the signal on a display of 1,000 cd/m2 (ITU-R BT.2100: PQ's EOTF; HLG's inverse OETF and OOTF)
    colours   from the clip's primaries to those of BT.709; what lies outside is cut off
    roll-off  m, the largest of r, g and b, becomes f(m), and all three are scaled by f(m) / m: the hue stays
              f(m) = m below the knee k = 0.75, above it k + (1 - k) * (1 + a) t / (1 + a t) with
              t = min((m - k) / (p - k), 1), p = 1000 / 203, a = (p - 1) / (1 - k): smooth, and 1 at the peak p
    signal    light ** (1 / 2.4), the inverse of ITU-R BT.1886
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mobie_coreml.editing.resample import Pixels

PQ, HLG = 16, 18
TRANSFERS = {PQ: "PQ", HLG: "HLG"}
"""The HDR transfers of ISO/IEC 23091-4 (H.273)."""

_WHITE = 203.0
_PEAK = 1000.0
_KNEE = 0.75
_DISPLAY_GAMMA = 2.4
_HLG_SYSTEM_GAMMA = 1.2
_BLOCK = 1 << 16  # pixels at a time: intermediate values stay small whatever the frame

# H.273 primaries -> (x, y) of red, green and blue; the white of all of them is D65.
_BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
_PRIMARIES = {1: _BT709, 9: _BT2020, 12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))}
_D65 = (0.3127, 0.3290)

Light = npt.NDArray[np.float32]


def to_standard_range(signal: npt.NDArray[np.uint16], transfer: int, primaries: int) -> Pixels:
    """8-bit BT.709 pixels of an HDR frame.

    Args:
        signal: (H, W, 3) R'G'B', 0 to 65535.
        transfer: One of `TRANSFERS`.
        primaries: H.273 number; BT.2020's where it is unknown, as nearly all HDR clips have them.
    """
    to_xyz = _rgb_to_xyz(_PRIMARIES.get(primaries, _BT2020))
    to_bt709 = np.linalg.inv(_rgb_to_xyz(_BT709)) @ to_xyz
    pixels = np.empty(signal.shape, np.uint8)
    rows = max(1, _BLOCK // signal.shape[1])
    for top in range(0, signal.shape[0], rows):
        light = _signal_to_light(transfer)[signal[top : top + rows]]
        if transfer == HLG:  # the OOTF: from light of the scene to light of the display
            luminance = light @ to_xyz[1].astype(np.float32)
            light *= (np.float32(_PEAK / _WHITE) * luminance ** np.float32(_HLG_SYSTEM_GAMMA - 1))[..., None]
        light = np.maximum(light @ to_bt709.T.astype(np.float32), 0)
        brightest = light.max(axis=-1, keepdims=True)
        light *= _roll_off(brightest) / np.maximum(brightest, np.float32(1e-9))
        levels = np.minimum(light, 1) ** np.float32(1 / _DISPLAY_GAMMA) * 255
        pixels[top : top + rows] = np.floor(levels + 0.5)
    return pixels


def _roll_off(brightest: Light) -> Light:
    peak = _PEAK / _WHITE
    bend = (peak - 1) / (1 - _KNEE)
    beyond = np.clip((brightest - _KNEE) / (peak - _KNEE), 0, 1)
    rolled = _KNEE + (1 - _KNEE) * (1 + bend) * beyond / (1 + bend * beyond)
    return np.where(brightest < _KNEE, brightest, rolled).astype(np.float32)


@lru_cache(maxsize=2)
def _signal_to_light(transfer: int) -> Light:
    """Light of every 16-bit level: of the display, relative to white, for PQ; of the scene, 0 to 1, for HLG."""
    signal = np.linspace(0, 1, 1 << 16)
    if transfer == PQ:
        m1, m2 = 2610 / 16384, 2523 / 4096 * 128
        c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
        root = signal ** (1 / m2)
        light = 10_000 / _WHITE * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    else:
        a = 0.17883277
        b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return light.astype(np.float32)


def _rgb_to_xyz(primaries: tuple[tuple[float, float], ...]) -> npt.NDArray[np.float64]:
    """The matrix from linear RGB to CIE XYZ (SMPTE RP 177)."""
    corners = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in primaries]).T
    x, y = _D65
    amounts = np.linalg.solve(corners, np.array([x / y, 1.0, (1 - x - y) / y]))
    return corners * amounts
