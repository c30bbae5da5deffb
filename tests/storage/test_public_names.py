"""The package's face."""

import unfreeze.storage


def test_public_names_are_sorted_and_exist() -> None:
    names = unfreeze.storage.__all__
    assert names == sorted(names)
    assert all(hasattr(unfreeze.storage, name) for name in names)
