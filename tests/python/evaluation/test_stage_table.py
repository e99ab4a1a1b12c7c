"""The stage table: models side by side, honest blanks, and goals beside the model that is replaced."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from mobie_coreml.evaluation.controllability import Controllability, Curve
from mobie_coreml.evaluation.cost import Cost, Operations, Seconds
from mobie_coreml.evaluation.evaluate import evaluate_model
from mobie_coreml.evaluation.goals import goals, reference_of
from mobie_coreml.evaluation.grid import Grid, rich_table
from mobie_coreml.evaluation.pairs import draw_pairs
from mobie_coreml.evaluation.perceptual import ClipScores, FrameConsistency, PerceptualScores
from mobie_coreml.evaluation.stage_table import NOT_MEASURED, stage_grids
from mobie_coreml.evaluation.temporal import ClipScores as MotionScores
from mobie_coreml.evaluation.temporal import WarpErrors


def motion(error: float) -> MotionScores:
    return MotionScores("clip", "snow", 5, error, 2.0, 4.0, 0.9, WarpErrors(6.0, 4.0, 3.0, 5.0, 0.9))


@pytest.fixture(scope="module")
def evaluations(frames, scripted_model):
    """A slow teacher that is perfect, and a student that does nothing, 30 times faster."""
    pairs = draw_pairs(frames, ["snow", "night", "red_to_blue"], per_instruction=1, unseen=1)
    teacher, student = (evaluate_model(scripted_model(answer), frames, pairs) for answer in ("truth", "nothing"))
    teacher.description = teacher.description | {"steps": 10, "passes": 3}
    teacher.cost = Cost(Operations(30_000_000_000, 3_000, 5_000_000_000), Seconds(3.0, 3.5))
    student.cost = Cost(Operations(1_000_000_000, 100, 5_000_000_000), Seconds(0.1, 0.6))
    teacher.clips, student.clips = [motion(3.0)], [motion(5.5)]
    curves = Curve("clip", "0", "snow", (0.1, 0.5, 0.9)), Curve("clip", "1", "night", (0.5, 0.1, 0.9))
    student.guidance = [Controllability("text", (1.0, 2.0, 3.0), curves)]
    return [teacher, student]


def table(evaluations, title: str) -> dict[str, dict[str, str]]:
    """By model and column."""
    grid = next(grid for grid in stage_grids(evaluations) if grid.title.startswith(f"Stages: {title}"))
    return {row[0]: dict(zip(grid.columns, row, strict=True)) for row in grid.rows}


def test_quality_stands_beside_the_baselines(evaluations):
    rows = table(evaluations, "quality")
    assert list(rows) == [
        "scripted truth", "scripted nothing", "unedited source", "best colour transform", "autoencoder alone",
    ]  # fmt: skip
    assert (rows["scripted truth"]["steps x passes"], rows["scripted nothing"]["steps x passes"]) == ("10 x 3", "1 x 1")
    assert rows["scripted truth"]["beats wrong"] == rows["scripted truth"]["unseen words"] == "100.0 %"
    assert rows["scripted nothing"]["beats wrong"] == "0.0 %"
    assert float(rows["scripted truth"]["to limit"]) == pytest.approx(0, abs=0.3)
    beyond = {name: float(row["beyond colour"]) for name, row in rows.items()}
    assert beyond["unedited source"] < beyond["best colour transform"] < beyond["scripted truth"]
    own = [row for row in evaluations[0].pairs if row.is_beyond_color]
    assert 0 < len(own) < len(evaluations[0].pairs)
    assert beyond["best colour transform"] == pytest.approx(sum(row.color.db for row in own) / len(own), abs=0.01)
    limit = float(rows["autoencoder alone"]["PSNR dB"])
    assert float(rows["unedited source"]["PSNR dB"]) < float(rows["best colour transform"]["PSNR dB"])
    assert limit == pytest.approx(float(rows["scripted truth"]["PSNR dB"]), abs=0.3)


def test_cost_and_speed_are_relative_to_the_first(evaluations):
    rows = table(evaluations, "cost")
    assert rows["scripted truth"] == {
        "model": "scripted truth", "denoiser GFLOP": "30.00", "frame GFLOP": "35.00", "denoising s": "3.000",
        "frame s": "3.500", "denoising": "1.0x", "frame": "1.0x",
    }  # fmt: skip
    assert (rows["scripted nothing"]["denoising"], rows["scripted nothing"]["frame"]) == ("30.0x", "5.8x")


def test_motion_is_relative_to_truth_and_source(evaluations):
    rows = table(evaluations, "motion")
    assert list(rows["scripted nothing"].values())[1:] == ["5.50", "1.38x", "2.00x", "1.50x"]
    assert list(rows["autoencoder alone"].values())[1:] == ["2.00", "0.50x", "1.67x", "1.25x"]
    assert table(evaluations, "sharpness")["scripted nothing"]["text Spearman"] == "0.75"


def test_goals_beside_the_model_that_is_replaced(evaluations):
    assert reference_of(evaluations, 0) is None
    assert reference_of(evaluations, 1) is evaluations[0]
    assert reference_of(evaluations[::-1], 1) is None, "nothing is replaced by a slower one"
    found = {goal.name: goal for goal in goals(evaluations[1], evaluations[0])}
    assert found["denoising faster than scripted truth"].met
    assert found["denoising faster than scripted truth"].found == "30.0x"
    assert not found["the whole frame faster than scripted truth"].met
    assert not found["PSNR behind scripted truth"].met
    assert not found["temporal-difference error below that of scripted truth"].met
    assert found["temporal-difference error to the truth's own change"].found == "1.38x"
    assert not found["temporal-difference error to the truth's own change"].met
    assert found["Spearman, text guidance"].found == "0.75, median pair not monotone"
    kept = found["local edits, preserved region behind the limit"]
    assert kept.met, "doing nothing preserves everything"
    assert not found["unseen wording: right beats wrong"].met
    assert "denoising faster than scripted truth" not in {goal.name for goal in goals(evaluations[1])}


def test_what_was_not_measured_is_said_to_be_so(evaluations):
    bare = replace(evaluations[1], clips=[], guidance=[], cost=None)
    assert set(list(table([bare], "motion")["scripted nothing"].values())[1:]) == {"-"}
    assert set(list(table([bare], "cost")["scripted nothing"].values())[1:]) == {"-"}
    assert set(list(table([bare], "LPIPS")["scripted nothing"].values())[1:]) == {NOT_MEASURED}
    assert not {goal.name for goal in goals(bare)} & {"Spearman, text guidance"}


def test_perceptual_scores_are_means_over_the_pairs_that_have_them(evaluations):
    first, *others = evaluations[0].pairs
    clip = ClipScores(0.2, 0.3, 0.4, 0.25, 0.35, 0.45)
    judged = replace(evaluations[0], pairs=[replace(first, perceptual=PerceptualScores(clip, None)), *others])
    judged.consistency = [FrameConsistency("clip", "snow", 0.9, 0.95, 0.99)]
    rows = table([judged], "LPIPS")
    assert list(rows["scripted truth"].values())[1:] == [NOT_MEASURED, "0.2000", "0.3000", "0.4000", "0.9000"]
    assert list(rows["the truth"].values())[1:] == ["-", "0.2500", "0.3500", "0.4500", "0.9500"]


def test_tables_fit_a_terminal_of_80_columns(evaluations):
    evaluations = [replace(evaluations[0], model="nano@steps=10,text=3,image=1.5"), evaluations[1]]
    for grid in stage_grids(evaluations):
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(rich_table(grid))
        text = console.export_text()
        for cell in (cell for row in grid.rows for cell in row[1:] if cell != NOT_MEASURED):
            assert cell in text, (grid.title, cell)


def test_a_table_without_rows_is_still_a_table():
    assert rich_table(Grid("Empty", ("name", "figure"), ())).row_count == 0
