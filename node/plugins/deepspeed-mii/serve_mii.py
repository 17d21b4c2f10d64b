# SPDX-License-Identifier: Apache-2.0
"""Starts DeepSpeed-MII's REST gateway for one model and stands in front of it until told to end.

The gateway listens long before the model is loaded, and says that it is well whether the engine
behind it lives or not; older releases say nothing at all. So the port that was asked for is opened
when the engine is there, and GET /healthz looks for it each time.
"""
import argparse
import contextlib
import http.client
import http.server
import os
import signal
import socket
import threading

options = argparse.ArgumentParser()
for name in ("--model", "--deployment", "--device"):
    options.add_argument(name, required=True)
options.add_argument("--port", type=int, required=True)
chosen = options.parse_args()
if chosen.device.startswith("MIG-"):
    raise SystemExit(
        "DeepSpeed's launcher takes numbers of boards, "
        f"none of which is the partition {chosen.device}"
    )


def free_ports(count):
    """Returns: the first of so many ports in a row on which nobody listens now."""
    while True:
        with contextlib.ExitStack() as held:
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            start = first.getsockname()[1]
            try:
                for further in range(1, count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", start + further))
            except (OSError, OverflowError):
                continue
            return start


# The load balancer's is followed by the engine's.
balancer, gateway, ranks, broadcast = (free_ports(count) for count in (2, 1, 1, 1))

# Its launcher fills CUDA_VISIBLE_DEVICES itself, by a number among all boards. ROCm's variables it
# leaves alone: with those the boards that they name are seen alone, and counted anew.
by_rocm = any(os.environ.get(name) for name in ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"))
os.environ.pop("CUDA_VISIBLE_DEVICES", None)
named = chosen.device.split(",")
devices = list(range(len(named))) if by_rocm else [int(one) for one in named]

import mii  # Slow: behind the arguments.

client = mii.serve(
    chosen.model,
    deployment_name=chosen.deployment,
    enable_restful_api=True,
    restful_api_port=gateway,
    port_number=balancer,
    torch_dist_port=ranks,
    zmq_port_number=broadcast,
    tensor_parallel=len(devices),
    device_map=devices if len(devices) > 1 else devices[0],
)


def listens(port):
    """Whether somebody does there."""
    try:
        socket.create_connection(("localhost", port), 1).close()
    except OSError:
        return False
    return True


class Front(http.server.BaseHTTPRequestHandler):
    """Health is told here, all else by the gateway."""

    protocol_version = "HTTP/1.1"

    def answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        well = all(listens(port) for port in (balancer, balancer + 1, gateway))
        self.answer(200 if well else 503, "text/plain", b"ok" if well else b"its engine is gone")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        behind = http.client.HTTPConnection("localhost", gateway)
        try:
            behind.request("POST", self.path, body, {"Content-Type": "application/json"})
            said = behind.getresponse()
            whole = said.read()
        except (OSError, http.client.HTTPException) as failure:
            return self.answer(502, "text/plain", f"its gateway is gone: {failure}".encode())
        finally:
            behind.close()
        self.answer(said.status, said.getheader("Content-Type", "text/html"), whole)

    def log_message(self, *_):
        """Says nothing: the log would hold little else."""


front = http.server.ThreadingHTTPServer(("127.0.0.1", chosen.port), Front)
front.daemon_threads = True
threading.Thread(target=front.serve_forever, daemon=True).start()
# No signal is blocked: what is started from here would inherit that.
told = threading.Event()
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: told.set())
told.wait()
front.shutdown()
client.terminate_server()
