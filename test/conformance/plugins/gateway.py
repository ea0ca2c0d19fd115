"""A pytest plugin for llama.cpp's server tests: the gateway stands where they start a server of their own.

Requests get the gateway's key, and the model where a test names none, because llama.cpp serves one model whatever it is called. Tests whose
subject is an option of the server's command line run all the same and fail where the option would matter. What pytest found is written as JSON.
"""

import json
import os
import sys
import types
from urllib.parse import urlsplit

address = urlsplit(os.environ["GATEWAY_ADDRESS"])
key = os.environ["GATEWAY_KEY"]
model = os.environ["GATEWAY_MODEL"]
found = []

# It downloads models, which are not needed.
sys.modules["wget"] = types.ModuleType("wget")


def pytest_configure():
    import openai
    import utils

    def start(self, timeout_seconds=0):
        self.server_host, self.server_port = address.hostname, address.port

    def keyed(method):
        def call(self, verb, path, data=None, headers=None, **rest):
            if isinstance(data, dict) and "model" not in data:
                data = {"model": model, **data}
            return method(self, verb, path, data=data, headers={"authorization": f"Bearer {key}", **(headers or {})}, **rest)

        return call

    utils.ServerProcess.start = start
    utils.ServerProcess.stop = lambda self: None
    utils.ServerProcess.make_request = keyed(utils.ServerProcess.make_request)
    utils.ServerProcess.make_stream_request = keyed(utils.ServerProcess.make_stream_request)
    utils.ServerPreset.load_all = staticmethod(lambda: None)
    init = openai.OpenAI.__init__
    openai.OpenAI.__init__ = lambda self, **options: init(self, **{**options, "api_key": key})


def pytest_runtest_logreport(report):
    if report.when != "call" and report.outcome == "passed":
        return
    why = "" if report.outcome == "passed" else str(getattr(report, "longrepr", ""))
    crash = getattr(getattr(report, "longrepr", None), "reprcrash", None)
    found.append(
        {
            "id": report.nodeid.split("::", 1)[1],
            "status": report.outcome,
            "why": (crash.message if crash else why)[:400],
        }
    )


def pytest_sessionfinish():
    with open(os.environ["GATEWAY_REPORT"], "w") as file:
        json.dump(found, file)
