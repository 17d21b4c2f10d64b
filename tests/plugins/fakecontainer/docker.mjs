// SPDX-License-Identifier: Apache-2.0
// What Consort calls of docker and podman, without containers: a "container" is a process of a
// session of its own, so that it outlives whoever started it, as real ones do. It gets only the
// variables that it is given, and may be told only paths that are mounted.
//
// The folder CONSORT_CONTAINERS holds `images` (one per line), `faults` (a word per line), the
// journal `calls`, and one file per container. Faults: down (no daemon), hang, pull-fails,
// pull-slow, run-fails (the engine's own exit 125), deaf (containers ignore TERM, and stay when the
// engine's program ends), rm-fails (the first time), rm-slow (it takes longer than a node waits).
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const folder = process.env.CONSORT_CONTAINERS;
const [verb, ...rest] = process.argv.slice(2);
const at = (name) => path.join(folder, name);
const text_of = (name) => (fs.existsSync(at(name)) ? fs.readFileSync(at(name), 'utf8') : '');
const lines = (name) => text_of(name).split('\n').filter(Boolean);
const faulty = (name) => lines('faults').includes(name);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function fail(text, code = 1) {
  process.stderr.write(`${text}\n`);
  process.exit(code);
}
function alive(pid) {
  try {
    return !/\) Z/.test(fs.readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
const read = (name) => JSON.parse(fs.readFileSync(at(`containers/${name}`), 'utf8'));
const known = () => fs.readdirSync(at('containers')).map(read);
const remove = (name) => fs.rmSync(at(`containers/${name}`), { force: true });
function signal(pid, name) {
  try {
    process.kill(-pid, name);
  } catch {
    // Gone by itself.
  }
}

/// The words of `run`: options up to the image, and the command behind it.
function parse(words) {
  const out = { env: {}, labels: {}, mounts: [], options: [] };
  const takes = {
    '--name': (value) => (out.name = value),
    '--label': (value) => (out.labels[value.split('=')[0]] = value.split('=')[1]),
    '--env': (value) => (out.env[value] = process.env[value]),
    '--mount': (value) => out.mounts.push(/source=([^,]*)/.exec(value)[1]),
    ...{ '--network': null, '--publish': null, '--memory': null, '--device': null },
  };
  while (words[0]?.startsWith('-')) {
    const option = words.shift();
    out.options.push(option);
    if (!(option in takes)) continue;
    out.options.push(words[0]);
    const value = words.shift();
    takes[option]?.(value);
  }
  return { ...out, image: words.shift(), command: words };
}

function check(wanted) {
  if (faulty('run-fails')) fail('docker: Error response from daemon: could not select driver', 125);
  if (!lines('images').includes(wanted.image)) fail(`Error: No such image: ${wanted.image}`, 125);
  if (fs.existsSync(at(`containers/${wanted.name}`))) fail('Conflict: the name is in use', 125);
  const mounted = (one) => wanted.mounts.some((from) => `${one}/`.startsWith(`${from}/`));
  for (const one of wanted.command.slice(1))
    if (one.startsWith('/') && fs.existsSync(one) && !mounted(one))
      fail(`${one}: no such file or directory`, 127);
}

function run(words) {
  const wanted = parse(words);
  check(wanted);
  const deaf = faulty('deaf');
  const log = at(`${wanted.name}.log`);
  const out = fs.openSync(log, 'a');
  const [program, ...its] = wanted.command;
  const env = { PATH: process.env.PATH, ...wanted.env };
  const child = spawn(program, its, { detached: true, stdio: ['ignore', out, out], env });
  const kept = { id: `c${child.pid}`, pid: child.pid, deaf, ...wanted };
  fs.writeFileSync(at(`containers/${wanted.name}`), JSON.stringify(kept));
  process.on('SIGTERM', () => deaf || signal(child.pid, 'SIGTERM'));
  let told = 0;
  const relay = () => {
    const bytes = fs.readFileSync(log);
    process.stdout.write(bytes.subarray(told));
    told = bytes.length;
  };
  const relaying = setInterval(relay, 50);
  child.on('exit', (code) => {
    clearInterval(relaying);
    relay();
    if (!deaf) remove(wanted.name);
    process.exitCode = code ?? 137;
  });
}

async function pull(image) {
  if (faulty('pull-fails')) fail(`Error response from daemon: manifest for ${image} not found`);
  for (let layer = 1; layer <= 3; ++layer) {
    process.stdout.write(`layer${layer}: Pull complete\n`);
    await sleep(faulty('pull-slow') ? 60_000 : 20);
  }
  fs.appendFileSync(at('images'), `${image}\n`);
}

function rm(names) {
  if (faulty('rm-fails') && !fs.existsSync(at('rm-failed'))) {
    fs.writeFileSync(at('rm-failed'), '');
    fail('Error response from daemon: driver failed to remove root filesystem');
  }
  for (const one of known().filter(({ id, name }) => names.includes(id) || names.includes(name))) {
    signal(one.pid, 'SIGKILL');
    remove(one.name);
  }
}

async function stop(names) {
  const mine = known().filter(({ name }) => names.includes(name));
  for (const one of mine) if (!one.deaf) signal(one.pid, 'SIGTERM');
  const end = Date.now() + 1_000;
  while (Date.now() < end && mine.some(({ pid }) => alive(pid))) await sleep(20);
  for (const one of mine) signal(one.pid, 'SIGKILL');
}

function ps(filter) {
  const [label, value] = filter.replace('label=', '').split('=');
  for (const one of known()) if (one.labels[label] === value) console.log(one.id);
}

fs.mkdirSync(at('containers'), { recursive: true });
fs.appendFileSync(at('calls'), `${JSON.stringify([verb, ...rest])}\n`);
if (faulty('hang')) await sleep(600_000);
if (faulty('rm-slow') && ['stop', 'rm'].includes(verb)) await sleep(3_000);
if (faulty('down')) fail('Cannot connect to the Docker daemon. Is the docker daemon running?');
if (verb === 'image' && !lines('images').includes(rest.at(-1)))
  fail(`Error: No such image: ${rest.at(-1)}`);
if (verb === 'pull') await pull(rest.at(-1));
if (verb === 'run') run(rest);
if (verb === 'rm') rm(rest);
if (verb === 'stop') await stop(rest);
if (verb === 'ps') ps(rest.at(-1));
