"""A TCP proxy on this machine between a client and its server, which can do what networks do."""

import contextlib
import socket
import struct
import threading
import time

CHUNK = 65536
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST


class Proxy:
    """Listens at `port`. `how` is what becomes of connections, those that are open too, until it is changed:

    `pass`; `delay`: each piece comes `delay_s` later; `cut`: connections are reset, and new ones too; `hole`: all is
    taken and nothing comes through, as where packets are dropped; `half`: of what the server says half of each piece
    comes, then a reset. `cut_after` resets the next connection that has carried so many bytes of the server's, or,
    with `cut_after_of_client`, of the client's; once. `loses`, a random generator and a probability, resets
    connections whose answer comes, without it.
    """

    def __init__(self, server):
        self.how, self.delay_s = "pass", 0.05
        self.cut_after = self.cut_after_of_client = None
        self.num_connections, self.loses = 0, None
        self._server, self._closed = server, threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self._listen, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._closed.set()
        self._listener.close()

    def _listen(self):
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.num_connections += 1
            if self.how == "cut":
                _reset(client)
                continue
            try:
                server = socket.create_connection(self._server, 5)
            except OSError:
                _reset(client)
                continue
            for source, target, answers in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pump, args=(source, target, answers), daemon=True).start()

    def _pump(self, source, target, answers):
        carried = 0
        with contextlib.suppress(OSError):
            while piece := source.recv(CHUNK):
                if self.how == "delay":
                    time.sleep(self.delay_s)
                while self.how == "hole":  # what was sent meanwhile comes once the network is back, as TCP has it
                    time.sleep(0.05)
                    if self._closed.is_set():
                        break
                limit = self.cut_after if answers else self.cut_after_of_client
                if limit is not None and carried + len(piece) >= limit:
                    if answers:
                        self.cut_after = None
                    else:
                        self.cut_after_of_client = None
                    target.sendall(piece[: limit - carried])
                    break
                if self.how == "cut":
                    break
                if answers and self.loses is not None and self.loses[0].random() < self.loses[1]:
                    break
                if self.how == "half" and answers:
                    target.sendall(piece[: len(piece) // 2])
                    break
                target.sendall(piece)
                carried += len(piece)
            else:
                target.shutdown(socket.SHUT_WR)  # the other direction goes on
                return
        _reset(source)
        _reset(target)


def _reset(connection):
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        connection.close()
