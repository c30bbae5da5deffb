"""Errors travel between processes, so each must survive pickle whole."""

import pickle

import pytest

from unfreeze.storage import errors

ALL = sorted(
    (
        thing
        for thing in vars(errors).values()
        if isinstance(thing, type) and issubclass(thing, errors.StorageError)
    ),
    key=lambda error: error.__name__,
)


@pytest.mark.parametrize("kind", ALL)
def test_an_error_survives_pickle(kind: type[errors.StorageError]) -> None:
    back = pickle.loads(pickle.dumps(kind("s3://a/b: gone; look elsewhere")))
    assert type(back) is kind
    assert str(back) == "s3://a/b: gone; look elsewhere"


@pytest.mark.parametrize("kind", ALL)
def test_the_drawn_tree_names_every_error(kind: type[errors.StorageError]) -> None:
    assert errors.__doc__ and f"    {kind.__name__}" in errors.__doc__


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.ObjectNotFound, FileNotFoundError),
        (errors.ObjectExists, FileExistsError),
        (errors.InvalidUri, ValueError),
    ],
)
def test_callers_may_catch_the_builtin_error(kind: type, builtin: type) -> None:
    assert issubclass(kind, builtin)
