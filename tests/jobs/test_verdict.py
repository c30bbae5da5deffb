import json

import pytest

from unfreeze.jobs.verdict import gap, overfitting, records


def validations(losses, *, train=None, accuracy=None, phases=None, every=100):
    """One validation each `every` steps. Training loss falls steadily unless given."""
    train = train or [0.6 - 0.05 * n for n in range(len(losses))]
    accuracy = accuracy or [1 - loss for loss in losses]
    best, rows = -1.0, []
    for n, loss in enumerate(losses):
        rows.append(
            {
                "kind": "validation",
                "step": every * (n + 1),
                "epoch": float(n + 1),
                "phase": phases[n] if phases else 0,
                "train": {"loss": train[n], "accuracy": accuracy[n] + 0.1},
                "validation": {"loss": loss, "accuracy": accuracy[n]},
                "best": accuracy[n] > best,
            }
        )
        best = max(best, accuracy[n])
    return rows


def test_a_loss_that_rises_while_training_goes_on_falling_is_overfitting():
    found = overfitting(
        validations([0.6, 0.5, 0.4, 0.44, 0.5], phases=[0, 0, 1, 1, 1]), phases=["head", "all"]
    )
    assert found.set_in_step == 300
    assert found.best_step == 300
    assert found.generalisation_loss == pytest.approx(25)
    assert found.gap_loss_best == pytest.approx(0.4 - 0.5)
    assert found.gap_loss_end == pytest.approx(0.5 - 0.4)
    assert found.gap_metric_end == pytest.approx(0.1)
    assert found.words == (
        "Overfitting set in after step 300 (epoch 3), in phase 1 (all): validation loss rose from "
        "0.4 to 0.5 while training loss fell from 0.5 to 0.4. The checkpoint of step 300 was kept."
    )


def test_a_loss_that_falls_to_the_end_is_not_overfitting():
    found = overfitting(validations([0.6, 0.5, 0.4]))
    assert found.set_in_step is None
    assert found.generalisation_loss == 0
    assert found.words.startswith("No overfitting: validation loss was lowest at the end (0.4).")
    assert "0.1 below that of the training rows" in found.words


@pytest.mark.parametrize("losses", [[0.6, 0.4, 0.403], [0.6, 0.4, 0.5, 0.402], [0.5, 0.5, 0.5]])
def test_a_loss_that_comes_back_to_its_lowest_is_not_overfitting(losses):
    assert overfitting(validations(losses)).set_in_step is None


def test_just_over_one_percent_is_overfitting():
    assert overfitting(validations([0.6, 0.4, 0.4041])).set_in_step == 200


def test_a_lowest_loss_met_twice_counts_from_the_second_time():
    assert overfitting(validations([0.4, 0.5, 0.4, 0.5])).set_in_step == 300


def test_a_rise_of_both_losses_is_blamed_on_the_rate():
    found = overfitting(validations([0.5, 0.4, 0.9], train=[0.5, 0.4, 0.8]))
    assert found.set_in_step is None
    assert "the learning rate may be too high" in found.words


def test_a_rise_right_after_a_phase_belongs_to_the_next_phase():
    found = overfitting(
        validations([0.5, 0.4, 0.5, 0.6], phases=[0, 0, 1, 1]), phases=["head", "last:2"]
    )
    assert found.set_in_step == 200
    assert "in phase 1 (last:2)" in found.words


def test_a_phase_without_a_known_name_is_numbered():
    assert "in phase 0: " in overfitting(validations([0.4, 0.6])).words


def test_a_lull_in_the_middle_phase_of_three_is_no_overfitting():
    losses, phases = [0.6, 0.55, 0.555, 0.556, 0.4, 0.3], [0, 0, 1, 1, 2, 2]
    assert overfitting(validations(losses, phases=phases)).set_in_step is None


def test_a_checkpoint_kept_after_overfitting_set_in_is_explained():
    rows = validations([0.5, 0.4, 0.45, 0.5], accuracy=[0.7, 0.8, 0.82, 0.81])
    found = overfitting(rows)
    assert (found.set_in_step, found.best_step) == (200, 300)
    assert found.words.endswith(
        "The checkpoint of step 300 was kept: accuracy was still best there."
    )


def test_the_best_is_found_by_value_where_none_is_marked():
    rows = [{**row, "best": False} for row in validations([0.5, 0.3, 0.4])]
    assert overfitting(rows).best_step == 200
    assert overfitting(rows, "min", metric="loss").best_step == 200
    assert overfitting(rows, "min").best_step == 100


def test_one_validation_is_too_few():
    found = overfitting(validations([0.5]))
    assert found.words.startswith("Too few validations to tell")
    assert (found.best_step, found.set_in_step) == (100, None)


@pytest.mark.parametrize("rows", [[], [{"kind": "train", "step": 1, "loss": 0.7}]])
def test_no_validation_is_too_few(rows):
    found = overfitting(rows)
    assert found.words.startswith("Too few validations to tell")
    assert found.best_step is None


def test_a_loss_that_is_not_a_number_is_left_out():
    assert overfitting(validations([0.5, 0.4, float("nan")])).set_in_step is None
    assert overfitting(validations([float("nan")])).best_step is None


def test_a_training_loss_that_is_not_known_gives_no_verdict():
    rows = [{**row, "train": None} for row in validations([0.5, 0.4, 0.6])]
    found = overfitting(rows)
    assert found.set_in_step is None
    assert found.gap_loss_end is None
    assert "training loss is not known" in found.words


def test_steps_repeated_after_a_resume_count_once_and_the_later_time():
    rows = [*validations([0.5, 0.9]), *validations([0.5, 0.4])[1:]]
    assert [row["validation"]["loss"] for row in records(rows, "validation")] == [0.5, 0.4]


def test_a_gap_is_positive_where_the_training_rows_do_better():
    row = {"train": {"f1": 0.9, "loss": 0.1}, "validation": {"f1": 0.8, "loss": 0.3}}
    assert gap(row, "f1", "max") == pytest.approx(0.1)
    assert gap(row, "loss", "min") == pytest.approx(0.2)
    assert gap(row, "accuracy", "max") is None


def test_the_verdict_is_plain_data():
    data = overfitting(validations([0.5, 0.4, 0.6])).to_data()
    assert json.loads(json.dumps(data)) == data
    assert data["set_in_step"] == 200
