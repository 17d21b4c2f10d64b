// SPDX-License-Identifier: Apache-2.0
// A worker that joins again and again as a node in good order and tells how long each took, apart
// from whatever else keeps the test's own thread busy. workerData: {port, cert, token, from, name,
// every_ms, strange}; with `strange` every other join comes from an address that was not here
// before. Posts {joined_ms} or {failed}; ends when told anything.
import { parentPort, workerData } from 'node:worker_threads';
import { Peer, hello, kinds } from './hosts_wire.mjs';

const answer_ms_max = 10_000;
const { port, cert, token, from, name, every_ms, strange } = workerData;
const said = hello({ token }, { sender: name, incarnation: 4_711 });
let over = false;
let joins = 0;
parentPort.once('message', () => (over = true));

/// A loopback address that nothing else uses, and that repeats after some 6,000 joins.
const another = (n) => `127.0.${226 + (Math.floor(n / 250) % 24)}.${1 + (n % 250)}`;

/// Resolves with what happened to one try.
function join() {
  const address = strange && ++joins % 2 === 0 ? another(strange.first + joins / 2) : from;
  return new Promise((resolve) => {
    const peer = new Peer(port, { cert, from: address });
    const timer = setTimeout(
      () => end({ failed: `no answer in ${answer_ms_max} ms` }),
      answer_ms_max,
    );
    const end = (outcome) => {
      clearTimeout(timer);
      peer.destroy();
      resolve(outcome);
    };
    peer.ready.then(() => peer.send(said));
    peer.closed.then(() =>
      end({ failed: `closed: ${peer.error || peer.answer() || 'no reason'}` }),
    );
    peer.socket.on('data', () => {
      if (!peer.frames().some((one) => one.kind === kinds.hello_answer)) return;
      const joined_ms = Date.now() - peer.opened_at;
      const answer = peer.answer();
      end(/refusal/.test(answer) ? { failed: answer } : { joined_ms });
    });
  });
}

while (!over) {
  parentPort.postMessage(await join());
  await new Promise((resolve) => setTimeout(resolve, every_ms));
}
process.exit(); // Of this thread.
