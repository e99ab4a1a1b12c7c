"""The page of an evaluation: one file that fetches nothing, with every table, frames, and sliders for the guidance."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence

from PIL import Image

from mobie_coreml.evaluation.frames import Pixels
from mobie_coreml.evaluation.goals import reference_of
from mobie_coreml.evaluation.grid import html_table
from mobie_coreml.evaluation.page_frames import GuidedFrames, PageFrames, PageRow
from mobie_coreml.evaluation.report import EXPLANATION, grids, headline
from mobie_coreml.evaluation.scores import Evaluation
from mobie_coreml.evaluation.stage_table import stage_grids

_START, _QUALITY = "data:image/jpeg;base64,", 85
# The browser itself refuses whatever the page would fetch.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1d21; --soft: #5a6068; --paper: #fff; --line: #d4d8de; --focus: #0a58ca; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --soft: #a6adb6; --paper: #16181c; --line: #3a3f47; --focus: #8ab4f8; }
}
* { box-sizing: border-box; }
body { font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 76rem; padding: 1rem; }
h1 { margin-top: 0; } h2 { margin-top: 2.5rem; } h3 { margin: 1.5rem 0 .5rem; font-size: 1rem; }
p { max-width: 46rem; } nav ul { display: flex; flex-wrap: wrap; gap: .25rem .75rem; padding: 0; list-style: none; }
a { color: var(--focus); } :focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
thead th { white-space: normal; vertical-align: bottom; } th:first-child { text-align: left; font-weight: 600; }
section { border-top: 1px solid var(--line); margin-top: 1.5rem; padding-top: .5rem; }
.frames { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 14rem), 1fr)); gap: .75rem; }
figure { margin: 0; } figcaption { color: var(--soft); overflow-wrap: anywhere; }
img { display: block; width: 100%; height: auto; border-radius: .25rem; }
.guided { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr)); gap: 1rem;
  max-width: 44rem; margin-top: .75rem; align-items: center; }
label { display: block; margin: .25rem 0 .75rem; } input[type=range] { display: block; width: 100%; height: 2rem; }
"""

_SCRIPT = """
for (const box of document.querySelectorAll('[data-guided]')) {
  const frames = JSON.parse(document.getElementById(box.dataset.guided).textContent);
  const [text, image] = box.querySelectorAll('input'), shown = box.querySelector('img');
  const names = {text: frames.text, image: frames.image};
  function show() {
    for (const input of [text, image]) {
      const value = names[input.name][input.value];
      input.setAttribute('aria-valuetext', value);
      input.parentElement.querySelector('output').textContent = value;
    }
    shown.src = frames.start + frames.frames[text.value][image.value];
    shown.alt = `${frames.alt} at text guidance ${names.text[text.value]}, image guidance ${names.image[image.value]}`;
  }
  for (const input of [text, image]) input.addEventListener('input', show);
  show();
  box.querySelector('.controls').hidden = false;
}
"""


def html_page(evaluations: Sequence[Evaluation], frames: PageFrames) -> str:
    """The page: stage table, frames with sliders, every table of every model.

    Args:
        evaluations: One a model.
        frames: What it shows.
    """
    models = "".join(f"<li>{html.escape(headline(one))}</li>" for one in evaluations)
    links = "".join(f'<li><a href="#{row.instruction}">{_name(row)}</a></li>' for row in frames.rows)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Evaluation</title>',
        f"<style>{_STYLE}</style></head><body><main><h1>Evaluation</h1><ul>{models}</ul>",
        f'<p>{html.escape(EXPLANATION)}</p><h2 id="stages">Stages</h2>',
        *(html_table(grid) for grid in stage_grids(evaluations)),
        f'<h2>Frames</h2><nav aria-label="Instructions"><ul>{links}</ul></nav>',
        *(_section(row, frames) for row in frames.rows),
    ]
    for place, evaluation in enumerate(evaluations):
        parts.append(f"<h2>{html.escape(headline(evaluation))}</h2>")
        parts += [html_table(grid) for grid in grids(evaluation, reference_of(evaluations, place))]
    return "".join([*parts, f"</main><script>{_SCRIPT}</script></body></html>\n"])


def _name(row: PageRow) -> str:
    return html.escape(row.instruction.replace("_", " "))


def _section(row: PageRow, frames: PageFrames) -> str:
    shown = [("source", row.source), ("truth", row.truth), *zip(frames.labels, row.results, strict=True)]
    figures = "".join(_figure(f"{label}, {row.instruction.replace('_', ' ')}", label, one) for label, one in shown)
    guided = "" if row.guided is None else _guided(row, row.guided, frames.guided_label)
    return (
        f'<section id="{row.instruction}" aria-labelledby="{row.instruction}-title">'
        f'<h3 id="{row.instruction}-title">“{html.escape(row.phrase)}”, {html.escape(row.frame)}</h3>'
        f'<div class="frames">{figures}</div>{guided}</section>'
    )


def _figure(alt: str, caption: str, pixels: Pixels) -> str:
    height, width = pixels.shape[:2]
    return (
        f'<figure><img alt="{html.escape(alt)}" width="{width}" height="{height}" src="{_START}{_jpeg(pixels)}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _guided(row: PageRow, guided: GuidedFrames, label: str) -> str:
    """A frame and a slider for each scale; where scripts are off, the frame near the default scales alone."""
    identity = f"{row.instruction}-frames"
    alt = f"{label}, {row.instruction.replace('_', ' ')}"
    data = {
        "start": _START,
        "alt": alt,
        "text": [f"{value:.3g}" for value in guided.text],
        "image": [f"{value:.3g}" for value in guided.image],
        "frames": [[_jpeg(frame) for frame in line] for line in guided.frames],
    }
    sliders = "".join(
        f'<label>{name} guidance <output></output><input type="range" name="{key}" min="0" max="{len(values) - 1}" '
        f'step="1" value="{start}"{" disabled" if len(values) == 1 else ""}></label>'
        for name, key, values, start in (
            ("Text", "text", guided.text, guided.start[0]),
            ("Image", "image", guided.image, guided.start[1]),
        )
    )
    # "<" would end the script where a name holds "</script>".
    text = json.dumps(data, ensure_ascii=True).replace("<", "\\u003c")
    return (
        f'<div class="guided" data-guided="{identity}" role="group" aria-label="Guidance of {html.escape(alt)}">'
        f"{_figure(alt, f'{label} at the scales beside', guided.frames[guided.start[0]][guided.start[1]])}"
        f'<div class="controls" hidden>{sliders}</div></div>'
        f'<script type="application/json" id="{identity}">{text}</script>'
    )


def _jpeg(pixels: Pixels) -> str:
    """Base64 of a JPEG of (H, W, 3) uint8."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=_QUALITY, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
