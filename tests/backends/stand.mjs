// SPDX-License-Identifier: Apache-2.0
// Where a backend is tried without its hardware: a cluster of the real binary with the plugin
// folders as they ship, a PATH on which fakes stand for the vendor's tools and servers, a second
// vendor's backend for what has to move, and the journal of what the fakes saw.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { free_port } from '../system/hosts_support.mjs';
import { Cluster, eventually, run_cli, temp_dir } from '../system/support.mjs';
import { built_plugins } from './places.mjs';
import { shipped } from './shipped.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
export const load_ms = 100;

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/// A program that prints the first file whose pattern fits its arguments; none fits: exit 2.
function tool_script(name, cases, fakes) {
  const faults = quoted(path.join(fakes, 'faults'));
  const fault = `fault=$(sed -n 's/^${name}=//p' ${faults} 2>/dev/null)`;
  const lines = cases.map(([pattern, file]) => {
    const full = path.isAbsolute(file) ? file : path.join(shipped, file);
    return `  *${pattern ? quoted(pattern) : ''}*) exec cat ${quoted(full)} ;;`;
  });
  return `#!/bin/sh
${fault}
case "$fault" in
  exit) echo 'cannot talk to the driver' >&2; exit 9 ;;
  hang) exec sleep 600 ;;
  empty) exit 0 ;;
  truncated) printf '{"x": [{"y' ; exit 0 ;;
  ?*) exec cat "$fault" ;;
esac
case "$*" in
${lines.join('\n')}
esac
echo "unknown arguments: $*" >&2
exit 2
`;
}

export class Stand {
  constructor(backend) {
    this.backend = backend;
    this.attached = [];
    this.folder = temp_dir('consort-backend');
    this.fakes = path.join(this.folder, 'fakes');
    this.bin = path.join(this.folder, 'bin');
    this.plugins = path.join(this.folder, 'plugins');
    for (const one of [this.fakes, this.bin, this.plugins]) fs.mkdirSync(one);
    for (const name of backend.plugins) {
      const compiled = fs.existsSync(path.join(shipped, name, 'CMakeLists.txt'));
      const from = path.join(compiled ? built_plugins : shipped, name);
      fs.cpSync(from, path.join(this.plugins, name), { recursive: true });
    }
    this.show(backend.tools);
    for (const [name, fake] of Object.entries(backend.servers ?? {}))
      this.#program(name, this.#runs(fake));
    this.env = {
      PATH: `${this.bin}:${process.env.PATH}`,
      CONSORT_FAKES: this.fakes,
      CONSORT_FAKE_LOAD_MS: String(load_ms),
      ...backend.env,
    };
    if (backend.host) this.#lay_out(backend.host);
    this.faults();
  }

  /// A host's files of its own, in which a fake counts the time that it computes.
  #lay_out({ root: name, counts }) {
    const copy = path.join(this.folder, 'root');
    fs.cpSync(path.join(here, 'roots', name), copy, { recursive: true });
    this.env.CONSORT_HOST_ROOT = copy;
    this.env.CONSORT_FAKE_COUNTS = path.join(copy, counts);
  }

  #program(name, text) {
    const file = path.join(this.bin, name);
    fs.writeFileSync(`${file}.new`, text, { mode: 0o755 });
    fs.renameSync(`${file}.new`, file); // A shell reads its script while it runs.
  }

  /// What its vendor's tools print from now on.
  show(tools) {
    for (const [name, cases] of Object.entries(tools ?? {}))
      this.#program(name, tool_script(name, cases, this.fakes));
  }
  #runs(fake) {
    const file = path.isAbsolute(fake) ? fake : path.join(here, 'fakes', fake);
    return `#!/bin/sh\nexec ${quoted(process.execPath)} ${quoted(file)} "$@"\n`;
  }

  /// What the fakes do wrong from now on: lines NAME=FAULT.
  faults(...lines) {
    const file = path.join(this.fakes, 'faults');
    fs.writeFileSync(`${file}.new`, `${lines.join('\n')}\n`);
    fs.renameSync(`${file}.new`, file); // Never read half written.
  }

  journal(what) {
    const file = path.join(this.fakes, 'journal');
    const text = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
    const lines = text.split('\n').filter(Boolean);
    return lines.map((line) => JSON.parse(line)).filter((one) => !what || one.what === what);
  }

  cli(args, options = {}) {
    return run_cli(args, { data: this.folder, env: this.env, timeout_ms: 60_000, ...options });
  }

  /// A backend of nobody's, that serves the same model and can go on with what others began.
  add_other_vendor() {
    const folder = path.join(this.plugins, 'other-vendor');
    const fake = path.join(here, 'fakes/openai.mjs');
    const command = [process.execPath, fake, '--fake', 'other', '--port', '{port}'];
    const device = { id: 'OTHER-1', model: 'other-1' };
    const spec = { prefill_tokens_per_s: 100, decode_tokens_per_s: 80 };
    fs.mkdirSync(folder);
    fs.writeFileSync(
      path.join(folder, 'plugin.json'),
      JSON.stringify({
        ...{ schema: 1, name: 'other-vendor', version: '1', vendor: 'Other', type: 'pim' },
        spec,
        probe: { command: ['echo', JSON.stringify(device)], id: '/id', model: '/model' },
        capability: {
          max_sequences: 64,
          formats: ['server/*', 'gguf', 'safetensors', 'openvino', 'onnx'],
          runtime: { resume: 'text', cancel: true },
        },
        runtime: {
          ...{ interface: 'server', command: [...command, '--name', '{name}'] },
          env: { CONSORT_FAKE_STEP_MS: '12' }, // Slower, so that it is the second choice.
        },
      }),
    );
  }

  /// Starts a fake that the plugin attaches to; ends with the stand.
  async attach({ fake, args, port_env, path: below = '', also }) {
    const port = await free_port();
    const file = path.join(here, 'fakes', fake);
    const child = spawn(process.execPath, [file, '--port', String(port), ...args], {
      env: { ...process.env, ...this.env },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    this.attached.push(child);
    this.env[port_env] = `http://127.0.0.1:${port}${below}`;
    await eventually('the fake listens', () => fetch(`http://127.0.0.1:${port}/`));
    if (also) await this.attach(also);
  }

  async start() {
    if (this.backend.attach) await this.attach(this.backend.attach);
    const env = { ...this.env };
    this.cluster = new Cluster({ args: ['--plugins', this.plugins], env });
    await this.cluster.start();
    const { model, weights, devices_per_instance } = this.backend;
    if (!model) return this.cluster;
    // The second vendor of nobody's serves it by its name.
    const sources = [weights ?? [], `server:${model}`].flat();
    const variants = sources.map((source) => ({ source, equivalence: model }));
    const declared = { name: model, variants, devices_per_instance };
    const added = await this.cluster.post('/api/v1/models', declared);
    if (added.status >= 300) throw new Error(added.text);
    return this.cluster;
  }

  async devices() {
    const all = await this.cluster.list('devices');
    return all.filter((one) => this.backend.plugins.includes(one.spec.plugin));
  }

  async destroy() {
    await this.cluster?.destroy();
    for (const child of this.attached) child.kill('SIGKILL');
    fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

