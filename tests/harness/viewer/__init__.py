"""A viewer that really listens, and a client that sends what it is told, byte for byte."""

from __future__ import annotations

import http.client
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

TOKEN = "t0ken-" * 4


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def text(self):
        return self.content.decode("utf-8")


class Client:
    """Sends one request by connection; keeps the cookie it was given."""

    def __init__(self, port):
        self.port, self.cookie = port, ""

    def request(self, method, path, params=(), headers=()):
        headers = {"host": f"127.0.0.1:{self.port}", "cookie": self.cookie, **dict(headers)}
        query = urlencode(params, doseq=True)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, f"{path}?{query}" if query else path, skip_host=True)
            for name, value in headers.items():
                if value is not None:
                    connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        finally:
            connection.close()
        if "set-cookie" in answer.headers:
            self.cookie = answer.headers["set-cookie"].split(";")[0]
        return answer

    def get(self, path, params=(), headers=()):
        return self.request("GET", path, params, headers)


@contextmanager
def listening(project, further=()):
    """Port of a viewer over the project's runs."""
    from baft.viewer import listen, make_app
    from baft.viewer.server import server

    with listen() as found:
        port = found.getsockname()[1]
        running = server(make_app(project, further=further, port=port, token=TOKEN))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [found]})
        thread.start()
        while not running.started:
            time.sleep(0.01)
        try:
            yield port
        finally:
            running.should_exit = True
            thread.join()
