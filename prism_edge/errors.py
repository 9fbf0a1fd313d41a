"""Every error prism-edge raises on purpose, as one tree.

::

    PrismError                the user's world is wrong; the message says what, where, what next
    ├── PlanError             a plan that does not parse, or does not fit model, batch or cluster
    ├── SettingsError         cluster.toml: unknown key, wrong type, missing file
    ├── ModelError            a model directory that is not supported, or is incomplete
    ├── InputError            a request's tensors are malformed                        (HTTP 400)
    │   └── TooLargeError     larger than anybody needs it                             (HTTP 413)
    ├── TableError            a cost table is missing, truncated, foreign or from another schema
    ├── LabError              the lab cannot be built, found or changed
    ├── EnergyError           no power reading where one was asked for
    ├── JournalError          a journal that cannot be read
    ├── ClusterError          something between boards
    │   ├── UnreachableError  a board or daemon does not answer
    │   └── PeerLostError     a peer died, froze or left during an exchange
    │       └── OutOfStepError  it sent something else than was agreed on
    └── ServiceError          the daemon refuses a request it has understood
        ├── NotFoundError     no such model                                        (HTTP 404)
        ├── UnavailableError  full, loading or draining; carries retry_after_s     (HTTP 503)
        └── DeadlineError     the request's deadline passed before its answer      (HTTP 504)

An ``assert`` is a bug of ours; a ``PrismError`` is the user's world and never shows a traceback.
"""


class PrismError(Exception):
    """Root of the tree; ``str(error)`` is complete and fit for a terminal or an HTTP reply."""


class PlanError(PrismError):
    """A plan that does not parse, or does not fit the model, the batch or the cluster."""


class SettingsError(PrismError):
    """A settings file with an unknown key, a wrong value, or that is not there."""


class ModelError(PrismError):
    """A model directory that is not supported or is incomplete."""


class InputError(PrismError):
    """A request whose tensors do not fit the model."""


class TooLargeError(InputError):
    """A request with an image or a text that is larger than the daemon takes."""


class TableError(PrismError):
    """A cost table that is missing, truncated, foreign or of an unknown schema."""


class LabError(PrismError):
    """A lab that cannot be built, found or changed."""


class EnergyError(PrismError):
    """No power reading where one was asked for."""


class JournalError(PrismError):
    """A journal that cannot be opened or is not ours."""


class ClusterError(PrismError):
    """Something between boards went wrong."""


class UnreachableError(ClusterError):
    """A board or a daemon does not answer."""


class PeerLostError(ClusterError):
    """A peer died, froze or left during an exchange."""


class OutOfStepError(PeerLostError):
    """A peer sent something else than was agreed on; the group is of no more use."""


class ServiceError(PrismError):
    """The daemon refuses a request it has understood."""


class NotFoundError(ServiceError):
    """The daemon serves no such model."""


class UnavailableError(ServiceError):
    """The daemon cannot take the request now; ``retry_after_s`` says when to ask again."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlineError(ServiceError):
    """The request's deadline passed before its answer was there."""
