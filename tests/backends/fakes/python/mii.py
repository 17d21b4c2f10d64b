# SPDX-License-Identifier: Apache-2.0
"""DeepSpeed-MII as a module: serve() takes its names alone, says what it was given, and returns once
it is told `loaded`; `engine-dies` closes the engine's port, not the gateway's."""
import http.server
import json
import os
import socket
import sys
import threading

names = {
    *("deployment_name", "enable_restful_api", "restful_api_port", "port_number"),
    *("torch_dist_port", "zmq_port_number", "device_map", "tensor_parallel", "replica_num"),
}


class Gateway(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # Well whatever the engine does.
        self.send_response(200)
        self.end_headers()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said = json.dumps([{"generated_text": f"{self.path} {body.decode()}"}]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        pass


class Client:
    def __init__(self, balancer):
        self.balancer = balancer  # Listens as long as somebody holds it.

    def terminate_server(self):
        print("terminated", flush=True)


def serve(model, **given):
    if unknown := set(given) - names:
        raise ValueError(f"unknown arguments: {unknown}")
    port = given["port_number"]
    gateway = http.server.ThreadingHTTPServer(("127.0.0.1", given["restful_api_port"]), Gateway)
    threading.Thread(target=gateway.serve_forever, daemon=True).start()
    balancer = socket.create_server(("127.0.0.1", port))
    cuda = os.environ.get("CUDA_VISIBLE_DEVICES")
    print(json.dumps({"model": model, "cuda": cuda, **given}), flush=True)
    sys.stdin.readline()
    engine = socket.create_server(("127.0.0.1", port + 1))

    def die():
        sys.stdin.readline()
        engine.close()

    threading.Thread(target=die, daemon=True).start()
    return Client(balancer)
