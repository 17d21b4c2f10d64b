// SPDX-License-Identifier: Apache-2.0
// Peers that are not ours: they speak frames through a plain socket, say anything, and note what
// comes back. Payloads are made by the `capnp` program from the project's own schemas.
import { execFileSync } from 'node:child_process';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { root } from './support.mjs';
import { tls_options } from './hosts_certs.mjs';

export const protocol_version = 1;
export const kinds = {
  hello: 1,
  hello_answer: 2,
  event: 3,
  command: 4,
  query: 5,
  query_answer: 6,
  heartbeat: 7,
  attempt_open: 16,
  attempt_event: 17,
};
const header_bytes = 12;
const capnp_ms_max = 20_000;

function capnp(verb, schema, type, input) {
  const file = path.join(root, 'messages', schema);
  return execFileSync('capnp', [verb, `-I${root}`, file, type], {
    input,
    timeout: capnp_ms_max,
    maxBuffer: 64 << 20,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

/// A value in Cap'n Proto's text form: objects become structs, strings are quoted.
export function text_of(value) {
  if (Array.isArray(value)) return `[${value.map(text_of).join(', ')}]`;
  if (typeof value === 'object') {
    const fields = Object.entries(value).map(([name, inside]) => `${name} = ${text_of(inside)}`);
    return `(${fields.join(', ')})`;
  }
  if (typeof value !== 'string') return `${value}`;
  return value.startsWith('#') ? value.slice(1) : JSON.stringify(value); // `#word`: an enumerant.
}

export const encode = (schema, type, value) => capnp('encode', schema, type, text_of(value));

/// The payload as text, one line.
export const decode = (schema, type, payload) =>
  capnp('decode', schema, type, payload).toString().replace(/\s+/g, ' ').trim();

export function frame(kind, payload, { version = protocol_version, bytes, magic } = {}) {
  const head = Buffer.alloc(header_bytes);
  head.write(magic ?? 'CSRT', 'latin1');
  head.writeUInt16LE(kind, 4);
  head.writeUInt16LE(version, 6);
  head.writeUInt32LE(bytes ?? payload.length, 8);
  return Buffer.concat([head, payload]);
}

/// A control message of a peer. `body` is one member of the Envelope's union.
export function envelope(body, from = {}) {
  return encode('control.capnp', 'Envelope', {
    protocolVersion: protocol_version,
    senderKind: '#node',
    sender: 'intruder',
    incarnation: 77,
    sequence: 1,
    ...from,
    body,
  });
}

export function hello({ cluster = 'default', token = '', ...rest } = {}, from = {}) {
  const body = { hello: { cluster, joinToken: token, software: 'a test' } };
  return frame(kinds.hello, envelope(body, from), rest);
}

/// Takes whole frames off a byte stream.
export function split_frames(bytes) {
  const frames = [];
  while (bytes.length >= header_bytes) {
    const end = header_bytes + bytes.readUInt32LE(8);
    if (bytes.length < end) break;
    frames.push({ kind: bytes.readUInt16LE(4), payload: bytes.subarray(header_bytes, end) });
    bytes = bytes.subarray(end);
  }
  return frames;
}

/// One connection of a stranger. `cert` is a credentials folder; without it there is no TLS.
/// `from` is the loopback address that it comes from (127.0.0.0/8), so that limits per address hit
/// nobody else.
export class Peer {
  constructor(port, { cert, from = '127.0.0.1', tls_extra = {} } = {}) {
    this.opened_at = Date.now();
    this.bytes = Buffer.alloc(0);
    this.error = '';
    const where = { host: '127.0.0.1', port, localAddress: from };
    this.socket = cert
      ? tls.connect({ ...where, ...tls_options(cert), ...tls_extra })
      : net.connect(where);
    this.socket.on('data', (piece) => (this.bytes = Buffer.concat([this.bytes, piece])));
    this.socket.on('error', (failure) => (this.error = failure.message));
    this.ready = new Promise((resolve) => {
      this.socket.once(cert ? 'secureConnect' : 'connect', () => resolve(true));
      this.socket.once('close', () => resolve(false));
    });
    /// Resolves with how long it lived, in milliseconds.
    this.closed = new Promise((resolve) => {
      this.socket.once('close', () => resolve(Date.now() - this.opened_at));
    });
  }
  send(bytes) {
    if (this.socket.writable) this.socket.write(bytes);
    return this;
  }
  frames() {
    return split_frames(this.bytes);
  }
  /// The answer to a hello, in Cap'n Proto's text form; undefined until it is here.
  answer() {
    const found = this.frames().find((one) => one.kind === kinds.hello_answer);
    return found && decode('control.capnp', 'Envelope', found.payload);
  }
  destroy() {
    this.socket.destroy();
  }
}
