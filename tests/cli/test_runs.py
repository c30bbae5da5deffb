"""How people name runs."""

from unfreeze.cli.runs import as_argument
from unfreeze.jobs.config import StorageConfig


def test_a_run_is_called_by_its_file_unless_overrides_may_have_moved_it() -> None:
    storage = StorageConfig(uri="s3://unfreeze", endpoint="embedded")
    uri = "s3://unfreeze/other"
    assert as_argument("job.yaml", (), uri, storage) == "job.yaml"
    moved = as_argument("job.yaml", ("name=other",), uri, storage)
    assert moved == "s3://unfreeze/other --endpoint embedded"
    on_aws = StorageConfig(uri="s3://unfreeze")
    assert as_argument("job.yaml", ("name=other",), uri, on_aws) == uri
