// SPDX-License-Identifier: Apache-2.0
// A model hub for tests: the hub's API over TLS with a certificate of its own, and the host that it
// sends its readers on to for files. What it is asked is counted; what goes wrong is a word.
import crypto from 'node:crypto';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const commit = 'c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00';
const piece_bytes = 256 * 1024;

/// A certificate for 127.0.0.1 that only its own file vouches for.
async function certificate(folder) {
  const [cert, key] = [path.join(folder, 'hub.pem'), path.join(folder, 'hub-key.pem')];
  await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
    ...['-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=hub'],
    ...['-addext', 'subjectAltName=IP:127.0.0.1'],
  ]);
  return { cert, key };
}

export class Hub {
  /// Serves one file as `org/story/story.gguf`; readers must show `token`.
  static async start(folder, file, token) {
    const made = new Hub();
    const { cert, key } = await certificate(folder);
    Object.assign(made, { token, authorities: cert, content: fs.readFileSync(file) });
    made.sha256 = crypto.createHash('sha256').update(made.content).digest('hex');
    Object.assign(made, { bytes: 0, reads: 0, leaked: 0, fault: '', pace_ms: 0, folder: {} });
    const tls = { cert: fs.readFileSync(cert), key: fs.readFileSync(key) };
    const listen = (handle) =>
      new Promise((resolve) => {
        const server = https.createServer(tls, handle);
        server.listen(0, '127.0.0.1', () => resolve(server));
      });
    made.files = await listen((request, answer) => made.#serve_file(request, answer));
    made.server = await listen((request, answer) => made.#serve(request, answer));
    made.endpoint = `https://127.0.0.1:${made.server.address().port}`;
    return made;
  }

  /// A further repository, `org/lora`, of these files: texts are small ones, which the hub gives
  /// itself and knows no SHA-256 of.
  add_folder(files) {
    this.folder = files;
  }

  /// Environment of a process that is to use it, with a cache of its own.
  env(cache) {
    return {
      HF_ENDPOINT: this.endpoint,
      HF_TOKEN: this.token,
      HF_HOME: cache,
      SSL_CERT_FILE: this.authorities,
    };
  }

  #serve(request, answer) {
    if (request.headers.authorization !== `Bearer ${this.token}`) {
      answer.writeHead(401, { 'x-error-code': 'GatedRepo' }).end('no');
    } else if (request.url.startsWith('/api/models/org/story/revision/')) {
      const siblings = [{ rfilename: 'README.md' }, { rfilename: 'story.gguf' }];
      answer.setHeader('content-type', 'application/json');
      answer.end(JSON.stringify({ id: 'org/story', sha: commit, siblings }));
    } else if (request.url.startsWith('/api/models/org/lora/revision/')) {
      const siblings = Object.keys(this.folder).map((rfilename) => ({ rfilename }));
      answer.setHeader('content-type', 'application/json');
      answer.end(JSON.stringify({ id: 'org/lora', sha: commit, siblings }));
    } else if (request.url === `/org/story/resolve/${commit}/story.gguf`) {
      this.#send_on(answer, '', this.content);
    } else if (request.url.startsWith(`/org/lora/resolve/${commit}/`)) {
      const name = request.url.split('/').at(-1);
      const content = this.folder[name];
      if (content === undefined) return answer.writeHead(404).end();
      if (typeof content !== 'string') return this.#send_on(answer, name, content);
      answer.writeHead(200, { etag: '"1"', 'content-length': content.length });
      answer.end(request.method === 'HEAD' ? '' : content);
    } else {
      answer.writeHead(404).end();
    }
  }

  /// To the host of the files, with what the hub knows of this one.
  #send_on(answer, name, content) {
    const sha256 = crypto.createHash('sha256').update(content).digest('hex');
    answer.writeHead(302, {
      location: `https://127.0.0.1:${this.files.address().port}/signed/${name}`,
      'x-repo-commit': commit,
      'x-linked-etag': `"${sha256}"`,
      'x-linked-size': `${content.length}`,
    });
    answer.end();
  }

  async #serve_file(request, answer) {
    if (request.headers.authorization) ++this.leaked;
    const content = this.folder[request.url.split('/').at(-1)] ?? this.content;
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
    const from = range ? Number(range[1]) : 0;
    const last = range?.[2] ? Number(range[2]) : content.length - 1;
    const to = Math.min(last, content.length - 1) + 1;
    answer.writeHead(range ? 206 : 200, {
      'content-length': to - from,
      'content-range': `bytes ${from}-${to - 1}/${content.length}`,
      etag: '"1"',
    });
    ++this.reads;
    for (let at = from; at < to && !answer.destroyed; at += piece_bytes) {
      const piece = Buffer.from(content.subarray(at, Math.min(at + piece_bytes, to)));
      if (this.fault === 'flip') piece[0] ^= 1;
      if (this.fault === 'drop' && at > from) return answer.destroy();
      this.bytes += piece.length;
      answer.write(piece);
      if (this.pace_ms) await new Promise((resolve) => setTimeout(resolve, this.pace_ms));
    }
    answer.end();
  }

  stop() {
    for (const server of [this.server, this.files]) {
      server.closeAllConnections();
      server.close();
    }
  }
}
