# SPDX-License-Identifier: Apache-2.0
"""Starts DeepSpeed-MII's REST gateway for one model and waits for its end."""
import argparse
import signal

options = argparse.ArgumentParser()
for name in ("--model", "--deployment"):
    options.add_argument(name, required=True)
options.add_argument("--port", type=int, required=True)
chosen = options.parse_args()

import mii  # Slow: behind the arguments.

# The documents name two different ports for the gateway: it is always said.
client = mii.serve(
    chosen.model,
    deployment_name=chosen.deployment,
    enable_restful_api=True,
    restful_api_port=chosen.port,
    port_number=20000 + chosen.port % 20000,
    torch_dist_port=40000 + chosen.port % 10000,
)
signal.sigwait({signal.SIGTERM, signal.SIGINT})
client.terminate_server()
