"""A TCP proxy before a daemon that cuts, delays, holds back and repeats.

One thread accepts; each connection has one thread for each direction.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

MOST_RECORDED = 1 << 20
"""So many bytes of a connection's beginning are kept, to be sent again on another one."""
_PIECE = 65536


class Proxy:
    """Forwards what arrives on ``port`` to ``target``.

    Args:
        target: the daemon's port on this machine.

    Attributes:
        port: where clients connect to.
        delay_s: how long each piece waits, in both directions.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.delay_s = 0.0
        self._held: str = ""
        self._flows = threading.Event()
        self._flows.set()
        self._links: list[Link] = []
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._accept, name="torture-proxy")
        self._thread.start()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open_links())

    def cut(self) -> int:
        """Close all connections; returns how many."""
        links = self._open_links()
        for link in links:
            link.close()
        return len(links)

    def hold(self, direction: str) -> None:
        """Forward nothing in one ``direction`` (``up`` or ``down``), and close nothing."""
        self._held = direction
        self._flows.clear()

    def release(self) -> None:
        """Forward again what was held."""
        self._held = ""
        self._flows.set()

    def duplicate(self) -> int:
        """Send what a client has said on its newest connection again, on a connection beside it.

        Returns:
            How many bytes; 0 when there is no connection.
        """
        links = self._open_links()
        if not links:
            return 0
        recorded = bytes(links[-1].recorded)
        with socket.create_connection(("127.0.0.1", self._target), timeout=5) as again:
            again.settimeout(0.5)
            with contextlib.suppress(OSError):  # the daemon may cut it: what it does with it is what is asked
                again.sendall(recorded)
                while again.recv(_PIECE):
                    pass
        return len(recorded)

    def close(self) -> None:
        """End it: no thread and no socket is left."""
        self._closed = True
        self.release()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        with self._lock:
            links, self._links = self._links, []
        for link in links:
            link.close()
            link.join()

    def may_pass(self, direction: str, link: Link) -> None:
        """Wait as long as this direction is held."""
        if self.delay_s:
            time.sleep(self.delay_s)
        while self._held == direction and not (self._closed or link.closed):
            self._flows.wait(0.05)

    def _open_links(self) -> list[Link]:
        with self._lock:
            return [link for link in self._links if not link.closed]

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                daemon = socket.create_connection(("127.0.0.1", self._target), timeout=5)
            except OSError:  # no daemon: the client meets what it would meet without a proxy
                client.close()
                continue
            daemon.settimeout(None)
            with self._lock:
                for link in [link for link in self._links if link.closed]:
                    link.join()
                    self._links.remove(link)
                self._links.append(Link(self, client, daemon))


class Link:
    """One forwarded connection.

    Attributes:
        recorded: what the client said, from its beginning.
        closed: whether it has ended.
    """

    def __init__(self, proxy: Proxy, client: socket.socket, daemon: socket.socket) -> None:
        self._proxy = proxy
        self._sockets = (client, daemon)
        self.recorded = bytearray()
        self.closed = False
        self._threads = [
            threading.Thread(target=self._forward, args=(client, daemon, "up"), name="torture-up"),
            threading.Thread(target=self._forward, args=(daemon, client, "down"), name="torture-down"),
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self.closed = True
        for one in self._sockets:
            with contextlib.suppress(OSError):  # the other side was first
                one.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(10)
        for one in self._sockets:
            one.close()

    def _forward(self, source: socket.socket, target: socket.socket, direction: str) -> None:
        try:
            while piece := source.recv(_PIECE):
                if direction == "up" and len(self.recorded) < MOST_RECORDED:
                    self.recorded += piece
                self._proxy.may_pass(direction, self)
                target.sendall(piece)
        except OSError:  # reset, or closed by us
            pass
        finally:
            self.close()
