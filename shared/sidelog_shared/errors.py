"""The error tree of sidelog: one type per cause, each message says what, got and expected.

    SidelogError
    ├── ConfigError               an argument, an environment variable or an endpoint that cannot work
    │   └── MissingExtra          a package is not installed; the message names the command that installs it
    ├── SnapshotError             a tensor that cannot be logged (wrong shape, dtype, layout, device)
    ├── TransportError            the daemon cannot be started or reached, or did not answer in time
    │   └── DaemonStartError      it died on its way up; carries its own last words
    ├── ProtocolError             a message that breaks the protocol
    │   ├── BadMagic              not one of our messages at all
    │   ├── VersionMismatch       ours, of another major version
    │   ├── LimitExceeded         longer than a limit allows
    │   └── MalformedHeader       a header or a buffer that does not say what it must
    └── WriterError               a run directory or an event file that cannot be written
        ├── LocksUnsupported      the file system has no ``flock``
        └── RunBusy               another daemon writes that run directory

``ConfigError`` and ``SnapshotError`` are also ``ValueError``, so that a caller's mistake can be caught as such.
"""

from __future__ import annotations


class SidelogError(Exception):
    """Base of every error that sidelog raises on purpose."""


class ConfigError(SidelogError, ValueError):
    """An argument, an environment variable or an endpoint that cannot work."""


class MissingExtra(ConfigError, ImportError):
    """A package that this call needs is not installed."""

    def __init__(self, package: str, extra: str, needed_by: str) -> None:
        super().__init__(f"{needed_by} needs the package {package!r}, which is not installed: "
                         f'run  pip install "sidelog[{extra}]"')  # fmt: skip
        self.package = package
        self.extra = extra


class SnapshotError(SidelogError, ValueError):
    """A tensor that cannot be logged."""


class TransportError(SidelogError):
    """The daemon cannot be started or reached, or did not answer in time."""


class DaemonStartError(TransportError):
    """The daemon died on its way up."""


class ProtocolError(SidelogError):
    """A message that breaks the protocol.

    ``code`` is the short, stable name under which the daemon counts it.
    """

    code = "protocol-error"


class BadMagic(ProtocolError):
    """Not one of our messages."""

    code = "bad-magic"


class VersionMismatch(ProtocolError):
    """A message of another major version of the protocol."""

    code = "version"


class LimitExceeded(ProtocolError):
    """A message, a header or a tensor that is longer than a limit allows."""

    code = "limit"


class MalformedHeader(ProtocolError):
    """A header or a buffer that does not say what it must."""

    code = "malformed"


class WriterError(SidelogError):
    """A run directory or an event file that cannot be written."""


class LocksUnsupported(WriterError):
    """The file system has no ``flock``."""


class RunBusy(WriterError):
    """Another daemon writes that run directory.

    Attributes:
        owner_endpoint: where that daemon listens; empty when it could not be read.
    """

    def __init__(self, message: str, *, owner_endpoint: str = "") -> None:
        super().__init__(message)
        self.owner_endpoint = owner_endpoint
