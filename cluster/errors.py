"""What can go wrong with a cluster.

ClusterError
 |- ClusterUnreachable   no Ray answers at the address
 |- ClusterLost          Ray, or a part of it that is needed, went away while it was used
 |- NotEnoughResources   the cluster has less than the job asks for
 |- AddressInvalid       it cannot be an address of a cluster
 |- TokenRefused         the cluster asks for a token, and we have none or another
 |- Insecure             refused: others could run code on the cluster
 |   |- OpenDashboard        a dashboard that others reach asks for no token
 |   |- TokenFileRefused     others can read the token, or it cannot be read
 |   `- AuthenticationOff    a Ray is to be started that asks for no token
 |- SubmissionRefused    it cannot be sent to the cluster, or not while another runs
 |- DeployFileUnknown    no program that we know starts such a file
 |- ProgramMissing       the program that starts a deploy file is not installed
 `- ProgramFailed        it ended with an error
"""


class ClusterError(Exception):
    """Something is wrong with the cluster, or between us and it."""


class ClusterUnreachable(ClusterError, ConnectionError):
    """No Ray cluster answers at the address."""


class ClusterLost(ClusterError, ConnectionError):
    """Ray, or a part of it that is needed, went away while it was used."""


class NotEnoughResources(ClusterError, ValueError):
    """The cluster has less than what is asked for."""


class AddressInvalid(ClusterError, ValueError):
    """It cannot be an address of a cluster."""


class TokenRefused(ClusterError, PermissionError):
    """The cluster asks for a token, and we have none or another."""


class Insecure(ClusterError):
    """Refused: others could run code on the cluster."""


class OpenDashboard(Insecure):
    """A dashboard that others reach asks for no token."""


class TokenFileRefused(Insecure):
    """Others can read the file with the token, or it cannot be read."""


class AuthenticationOff(Insecure):
    """A Ray is to be started that asks for no token."""


class SubmissionRefused(ClusterError, ValueError):
    """It cannot be sent to the cluster, or not while another runs."""


class DeployFileUnknown(ClusterError, ValueError):
    """No program that we know starts a cluster from the file."""


class ProgramMissing(ClusterError, FileNotFoundError):
    """The program that starts a cluster from the file is not installed."""


class ProgramFailed(ClusterError):
    """The program that starts a cluster from the file ended with an error."""
