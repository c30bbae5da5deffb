"""A job or a search on its way to a cluster: what is sent, made ready once and sent as often as it
has to be.

From Python: `submit_file("job.yaml", ["training.seed=3"])` is `unfreeze submit`.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unfreeze.cli.options import dashboard_address
from unfreeze.cli.shipped import EMBEDDED, Shipped, shipped

if TYPE_CHECKING:
    from unfreeze.cluster.submission.jobs_api import JobsApi
    from unfreeze.cluster.submission.package import Package
    from unfreeze.cluster.submission.request import Request


@dataclass(frozen=True)
class Submission:
    """What is sent; its folders are there as long as the block of `made_ready`."""

    address: str
    """The dashboard."""
    what: Shipped
    package: "Package"
    request: "Request"
    content: str
    """Hash of all that is sent."""

    def send(self, api: "JobsApi") -> tuple[str, bool]:
        """Its handle, and whether it ran there already. Raises SubmissionRefused, ClusterError."""
        from unfreeze.cluster.submission.jobs_api import send

        if self.what.endpoint == EMBEDDED:
            # On the cluster the driver would start it, and a cancelled driver takes it along.
            from unfreeze.storage import embedded

            api.list()  # a cluster that refuses us leaves no server behind
            embedded.up()
        return send(api, self.request, self.what.run, self.content)

    def send_again(self, api: "JobsApi", lost: str) -> str:
        """As the attempt after the one that was lost; its handle."""
        from unfreeze.cluster.submission.jobs_api import send
        from unfreeze.cluster.submission.request import attempt_of

        after = attempt_of(lost)
        return send(api, self.request, self.what.run, self.content, after=after)[0]


@contextmanager
def made_ready(
    file: str, overrides: Sequence[str] = (), address: str | None = None
) -> Iterator[Submission]:
    """Raises UserMistake, SubmissionRefused, AddressInvalid."""
    from unfreeze.cluster.submission import request as submission
    from unfreeze.cluster.submission.package import write_package
    from unfreeze.cluster.submission.shipment import check_size

    address = dashboard_address(address)
    what = shipped(file, tuple(overrides), address)
    check_size(what.shipment.sizes)
    with tempfile.TemporaryDirectory(prefix="unfreeze-submit-") as name:
        folder = Path(name)
        package = write_package(folder / "code")
        what.shipment.write(folder / "files")
        content = what.shipment.content_hash(package.version)
        request = submission.request(
            what.name,
            ["unfreeze.cli.submitted", what.shipment.description],
            metadata={
                submission.RUN: what.run,
                submission.CONTENT: content,
                submission.VERSION: package.version,
            },
            py_modules=[str(folder) for folder in package.folders],
            working_dir=str(folder / "files"),
        )
        yield Submission(address, what, package, request, content)


def submit_file(
    file: str,
    overrides: Sequence[str] = (),
    *,
    address: str | None = None,
    allow_open_dashboard: bool = False,
) -> str:
    """Sends the job or the search in `file`, or finds it running; its handle.

    Raises UserMistake, SubmissionRefused, AddressInvalid, Insecure, ClusterError.
    """
    from unfreeze.cli.following import opened

    with made_ready(file, overrides, address) as submission:
        return submission.send(opened(submission.address, allow_open_dashboard))[0]
