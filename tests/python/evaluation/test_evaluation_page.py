"""The page: whole in one file, usable by keyboard, with the frames it says."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from mobie_coreml.evaluation.evaluate import evaluate_model
from mobie_coreml.evaluation.page import html_page
from mobie_coreml.evaluation.page_frames import GUIDED, IMAGE_POINTS, TEXT_POINTS, guided_rows
from mobie_coreml.evaluation.pairs import draw_pairs
from mobie_coreml.evaluation.report import grids
from mobie_coreml.evaluation.sheet import SheetRows
from mobie_coreml.evaluation.stage_table import stage_grids

VOID = {"meta", "img", "input"}


class Page(HTMLParser):
    """Elements in order, the text of tables' cells, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.cells: list[str] = []
        self.scripts: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        values = {name: value or "" for name, value in attributes}
        self.elements.append((tag, values))
        if tag not in VOID:
            self._open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")
        if tag == "script":
            self._script = values.get("id", "")
            self.scripts[self._script] = ""

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open and self._open[-1] in ("td", "th"):
            self.cells[-1] += data
        if self._open and self._open[-1] == "script":
            self.scripts[self._script] += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [values for name, values in self.elements if name == tag]


@pytest.fixture(scope="module")
def made(frames, scripted_model):
    """A page of ten instructions and two models."""
    instructions = ["snow", "night", "sepia", "fog", "rain", "autumn", "cartoon", "blueprint", "desert", "fire"]
    pairs = draw_pairs(frames, instructions, per_instruction=1)
    rows = SheetRows("clip")
    models = [scripted_model("nothing", error=0), scripted_model("truth", error=0, image_range=(0, 1))]
    evaluations = [evaluate_model(model, frames[4:], pairs, keep=rows.keep) for model in models]
    shown = guided_rows(rows.rows, ["one </script><b>", "two"], models[1], batch=3)
    return evaluations, shown, html_page(evaluations, shown)


def test_the_page_fetches_nothing_and_says_so(made):
    page = Page(made[2])
    for tag, values in page.elements:
        for name in ("src", "href", "srcset", "action", "data"):
            if name in values:
                assert values[name].startswith(("data:image/jpeg;base64,", "#")), (tag, values[name][:80])
    assert "@import" not in made[2]
    assert "url(" not in made[2]
    policy = next(one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert any(one.get("name") == "viewport" for one in page.all("meta"))


def test_every_table_and_every_figure_is_there(made):
    evaluations, _, text = made
    wanted = [*stage_grids(evaluations), *(grid for one in evaluations for grid in grids(one))]
    cells = [cell for grid in wanted for row in (grid.columns, *grid.rows) for cell in row]
    assert Page(text).cells == cells


def test_names_are_escaped_in_markup_and_in_data(made):
    page = Page(made[2])
    assert "<b>" not in made[2]
    assert any(one["alt"].startswith("one </script><b>, ") for one in page.all("img"))


def test_every_instruction_has_source_truth_and_each_stage(made):
    _, shown, text = made
    page = Page(text)
    assert [one["id"] for one in page.all("section")] == [row.instruction for row in shown.rows]
    assert [one["href"] for one in page.all("a")] == [f"#{row.instruction}" for row in shown.rows]
    images = page.all("img")
    assert len(images) == 4 * len(shown.rows) + GUIDED
    assert all(one["alt"] and one["width"] == "96" and one["height"] == "64" for one in images)
    first = shown.rows[0]
    for image, pixels in zip(images, (first.source, first.truth, *first.results), strict=False):
        assert np.abs(decode(image["src"]).astype(int) - pixels).mean() < 6, "what JPEG leaves"


def test_sliders_are_labelled_and_lead_to_the_frames_of_their_scales(made):
    _, shown, text = made
    page = Page(text)
    guided = [row for row in shown.rows if row.guided is not None]
    assert len(guided) == GUIDED
    sliders = page.all("input")
    assert [one["name"] for one in sliders] == ["text", "image"] * GUIDED
    defaults = {"text": str(TEXT_POINTS - 1), "image": "0"}
    assert all(one["value"] == defaults[one["name"]] for one in sliders), "the model's own scales come first"
    assert len(page.all("label")) == len(page.all("output")) == len(sliders)
    assert {(one["name"], one["max"]) for one in sliders} == {
        ("text", str(TEXT_POINTS - 1)), ("image", str(IMAGE_POINTS - 1)),
    }  # fmt: skip
    for row in guided:
        data = json.loads(page.scripts[f"{row.instruction}-frames"])
        assert [float(value) for value in data["text"]] == pytest.approx(row.guided.text, abs=0.05)
        assert len(data["frames"]) == TEXT_POINTS
        assert {len(line) for line in data["frames"]} == {IMAGE_POINTS}
        strongest = decode(data["start"] + data["frames"][-1][0]).astype(int)
        weakest = decode(data["start"] + data["frames"][0][0]).astype(int)
        kept = decode(data["start"] + data["frames"][-1][-1]).astype(int)
        assert np.abs(strongest - row.truth).mean() < 8
        assert np.abs(weakest - row.source).mean() < 8, "no text guidance, no edit"
        assert np.abs(kept - row.source).mean() < 8, "all image guidance, no edit"


def test_the_same_evaluation_gives_the_same_page(made):
    assert html_page(made[0], made[1]) == made[2]


def test_a_model_without_ranges_has_no_sliders(made, frames, scripted_model, monkeypatch):
    model = scripted_model("truth", error=0)
    fixed = model.method.image_guidance
    monkeypatch.setattr(type(model), "method", replace_text(model, fixed))
    pairs = draw_pairs(frames, ["snow"], per_instruction=1)
    rows = SheetRows("clip")
    evaluation = evaluate_model(model, frames[4:], pairs, keep=rows.keep)
    shown = guided_rows(rows.rows, ["one"], model)
    assert shown.rows[0].guided is None
    page = Page(html_page([evaluation], shown))
    assert page.all("input") == []


def replace_text(model, fixed):
    from dataclasses import replace

    method = replace(model.method, text_guidance=fixed)
    return property(lambda _self: method)


def decode(address: str) -> np.ndarray:
    data = re.fullmatch(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", address)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data.group(1)))).convert("RGB"))
