# SPDX-License-Identifier: Apache-2.0
"""An OpenAI-compatible server over PyTorch: a decoder of Llama's shape with random weights, all
streams decoded in one batch, greedy. It says nothing sensible, at the speed of the real thing."""
import argparse
import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch
import torch.nn.functional as F

SHAPES = {  # layers, width, heads, KV heads, feed-forward, vocabulary
    "random-1b": (16, 2048, 32, 8, 8192, 128256),
    "random-8b": (32, 4096, 32, 8, 14336, 128256),
    "random-stray": (16, 2048, 32, 8, 8192, 128256),  # Holds the GPU, and computes on the host.
    "random-tiny": (2, 64, 4, 2, 128, 512),
}
CONTEXT = 2048
STRIDE = 256


class Model:
    def __init__(self, shape, slots, device):
        layers, width, self.heads, self.kv_heads, inner, vocabulary = shape
        self.size = width // self.heads
        dtype = torch.bfloat16 if device == "cuda" else torch.float32

        def made(*sizes):
            return torch.empty(*sizes, dtype=dtype, device=device).normal_(0, 0.02)

        kv = self.kv_heads * self.size
        self.embedding = made(vocabulary, width)
        self.layers = [
            {"qkv": made(width + 2 * kv, width), "out": made(width, width), "up": made(2 * inner, width),
             "down": made(width, inner)}
            for _ in range(layers)
        ]
        cache = (layers, slots, self.kv_heads, CONTEXT, self.size)
        self.keys, self.values = (torch.zeros(cache, dtype=dtype, device=device) for _ in range(2))
        self.device, self.kv, self.width = device, kv, width

    @staticmethod
    def norm(x):
        return x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-5).to(x.dtype)

    def run(self, tokens, slots, starts):
        """tokens [streams, length] at positions that begin with `starts`; returns each stream's next token."""
        streams, length = tokens.shape
        at = starts[:, None] + torch.arange(length, device=self.device)
        longest = -(-(int(at.max()) + 1) // STRIDE) * STRIDE  # A new shape costs a new kernel plan.
        seen = torch.arange(longest, device=self.device)[None, None, :] <= at[:, :, None]
        x = self.embedding[tokens]
        rows = slots[:, None].expand(-1, length)
        for index, layer in enumerate(self.layers):
            q, k, v = (self.norm(x) @ layer["qkv"].T).split([self.width, self.kv, self.kv], -1)
            self.keys[index][rows, :, at] = k.view(streams, length, self.kv_heads, self.size)
            self.values[index][rows, :, at] = v.view(streams, length, self.kv_heads, self.size)
            k, v = (
                cache[index][slots, :, :longest].repeat_interleave(self.heads // self.kv_heads, 1)
                for cache in (self.keys, self.values)
            )
            q = q.view(streams, length, self.heads, self.size).transpose(1, 2)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None])
            x = x + mixed.transpose(1, 2).reshape(streams, length, self.width) @ layer["out"].T
            gate, up = (self.norm(x) @ layer["up"].T).chunk(2, -1)
            x = x + (F.silu(gate) * up) @ layer["down"].T
        return (self.norm(x[:, -1]) @ self.embedding.T).argmax(-1)


class Stream:
    def __init__(self, prompt, wanted):
        self.prompt, self.wanted, self.made = prompt, wanted, 0
        self.said = queue.Queue()
        self.left = False


class Engine(threading.Thread):
    """Admits what waits, one prompt at a time, and decodes all that run together."""

    def __init__(self, model, slots):
        super().__init__(daemon=True)
        self.model, self.free = model, list(range(slots))
        self.waiting, self.running = queue.Queue(), []

    @torch.inference_mode()
    def run(self):
        device = self.model.device
        while True:
            while self.free and (not self.running or not self.waiting.empty()):
                stream = self.waiting.get()
                stream.slot, stream.length = self.free.pop(), len(stream.prompt)
                tokens = torch.tensor([stream.prompt], device=device)
                place = torch.tensor([stream.slot], device=device)
                stream.last = self.model.run(tokens, place, torch.zeros(1, dtype=torch.long, device=device))
                self.running.append(stream)
                self.say(stream, int(stream.last))
            self.running = [one for one in self.running if not self.ended(one)]
            if not self.running:
                continue
            tokens = torch.cat([one.last for one in self.running])[:, None]
            slots = torch.tensor([one.slot for one in self.running], device=device)
            starts = torch.tensor([one.length for one in self.running], device=device)
            made = self.model.run(tokens, slots, starts)
            for one, token, value in zip(self.running, made, made.tolist()):
                one.last, one.length = token[None], one.length + 1
                self.say(one, value)

    @staticmethod
    def say(stream, token):
        stream.made += 1
        stream.said.put(f" w{token}")

    def ended(self, stream):
        over = stream.left or stream.made >= stream.wanted or stream.length + 1 >= CONTEXT
        if over:
            self.free.append(stream.slot)
            stream.said.put(None)
        return over


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body, kind="application/json"):
        data = body.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        engine = self.server.engine
        if self.path == "/v1/models":
            self.answer(json.dumps({"object": "list", "data": [{"id": self.server.model_name}]}))
        elif self.path == "/metrics":
            self.answer(f"torch_running {len(engine.running)}\ntorch_waiting {engine.waiting.qsize()}\n", "text/plain")
        else:
            self.answer("{}")

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = asked.get("prompt") or " ".join(m["content"] for m in asked.get("messages", []))
        prompt = [hash(word) % 500 for word in text.split()][: CONTEXT - 8] or [1]
        stream = Stream(prompt, int(asked.get("max_tokens") or 16))
        self.server.engine.waiting.put(stream)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        chat = "messages" in asked

        def event(body):
            self.wfile.write(f"data: {json.dumps(body)}\n\n".encode())

        try:
            while (piece := stream.said.get()) is not None:
                said = {"delta": {"content": piece}} if chat else {"text": piece}
                event({"choices": [{"index": 0, **said, "finish_reason": None}]})
            end = {"delta": {}} if chat else {"text": ""}
            event({"choices": [{"index": 0, **end, "finish_reason": "length"}]})
            event({"choices": [], "usage": {"prompt_tokens": len(prompt), "completion_tokens": stream.made}})
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:  # The client left.
            stream.left = True
        self.close_connection = True


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--name", required=True)
    options.add_argument("--shape", required=True, choices=SHAPES)
    options.add_argument("--slots", type=int, default=64)
    chosen = options.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if chosen.shape == "random-stray" and device == "cuda":
        held = torch.zeros(1 << 28, device=device)  # 1 GiB, so that the process is seen there.
        device = "cpu"
    torch.backends.cuda.enable_cudnn_sdp(False)  # It plans for each shape anew, for 80 ms.
    engine = Engine(Model(SHAPES[chosen.shape], chosen.slots, device), chosen.slots)
    engine.start()
    warm = Stream([1, 2, 3], 4)
    engine.waiting.put(warm)
    while warm.said.get() is not None:
        pass
    server = Server(("127.0.0.1", chosen.port), Handler)
    server.engine, server.model_name = engine, chosen.name
    print(f"serving {chosen.shape} on {device}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
