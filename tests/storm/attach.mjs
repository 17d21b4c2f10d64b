// SPDX-License-Identifier: Apache-2.0
// What attached devices cost and survive: the agent's share of a core for probes and telemetry, a
// host process killed under a request, one artifact for many nodes, and many requests for an
// artifact that nobody has yet.
// Usage: CONSORT_BIN=... node tests/storm/attach.mjs [--seconds 60] [--kills 100] [--nodes 8]
//        [--requests 200] [--skip-idle] [--skip-kills] [--skip-nodes] [--skip-burst]
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { Hosts } from '../system/hosts_support.mjs';
import { Cluster, descendants, eventually, metric_of, sleep } from '../system/support.mjs';
import { options_from, percentile } from './storm_support.mjs';

const options = options_from({
  seconds: 60,
  kills: 100,
  nodes: 8,
  requests: 200,
  'skip-idle': false,
  'skip-kills': false,
  'skip-nodes': false,
  'skip-burst': false,
});
const story = { prompt: 'Once upon a time', max_tokens: 4, temperature: 0 };

/// CPU time of the process and of all children that it has waited for, in milliseconds.
function whole_cpu_ms(pid) {
  const text = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return 10 * fields.slice(11, 15).reduce((sum, one) => sum + Number(one), 0);
}

/// Per cent of a core over a while in which nobody asks for anything.
async function idle_percent(env) {
  const cluster = new Cluster({ env });
  try {
    await cluster.start();
    await sleep(5_000); // What its start does is no telemetry.
    const before = whole_cpu_ms(cluster.pid);
    await sleep(options.seconds * 1000);
    return (whole_cpu_ms(cluster.pid) - before) / (options.seconds * 10);
  } finally {
    await cluster.destroy();
  }
}

async function idle() {
  const few = await idle_percent({ REFNPU_DEVICES: '1' });
  const many = await idle_percent({ REFNPU_DEVICES: '9' });
  console.log(
    `idle for ${options.seconds} s: ${few.toFixed(3)} % of a core with 1 reference device, ` +
      `${many.toFixed(3)} % with 9: ${((many - few) / 8).toFixed(4)} % for each further one`,
  );
}

async function kills() {
  const cluster = new Cluster();
  const spans = [];
  try {
    await cluster.start();
    const npu = { 'X-Consort-Device': 'npu', 'X-Consort-Wait': '30s' };
    assert.equal((await cluster.complete(story, npu)).status, 200);
    for (let kill = 0; kill < options.kills; ++kill) {
      const hosts = await eventually('a loaded engine', () => {
        const found = cluster.hosts();
        return found.length > 0 && found;
      });
      const device = { ...npu, 'X-Consort-Device': 'auto' };
      for (const one of hosts) process.kill(one.pid, 'SIGSEGV');
      const began = performance.now();
      const answer = await cluster.complete(story, device);
      assert.equal(answer.status, 200, answer.text);
      spans.push(performance.now() - began);
      assert.equal((await cluster.complete(story, npu)).status, 200);
    }
  } finally {
    await cluster.destroy();
  }
  const figures = [0.5, 0.99, 1].map((share) => percentile(spans, share).toFixed(0));
  console.log(
    `${spans.length} x SIGSEGV to every host process: next request served after ` +
      `p50 ${figures[0]}, p99 ${figures[1]}, max ${figures[2]} ms`,
  );
}

async function data_port_bytes(node) {
  const answer = await fetch(`http://127.0.0.1:${node.data_port}/metrics`);
  return metric_of(await answer.text(), 'consort_data_artifact_bytes_total');
}

async function one_artifact() {
  const names = Array.from({ length: options.nodes + 1 }, (_, at) => `n${at}`);
  const hosts = new Hosts({ nodes: names });
  try {
    await hosts.start();
    const { gateway } = hosts;
    const on = (name) =>
      gateway.complete(
        { ...story },
        { 'X-Consort-Device': `${name}/npu0`, 'X-Consort-Wait': '120s' },
        180_000,
      );
    assert.equal((await on('n0')).status, 200);
    const [artifact] = await gateway.list('artifacts');
    const began = performance.now();
    const answers = await Promise.all(names.slice(1).map(on));
    const took = performance.now() - began;
    assert.ok(answers.every((one) => one.status === 200));
    const source = hosts.node(artifact.nodes[0]);
    const sent = await data_port_bytes(source);
    console.log(
      `${options.nodes} nodes pulled one artifact of ${artifact.size_bytes} bytes and served ` +
        `from it in ${(took / 1000).toFixed(1)} s; its builder sent ` +
        `${(sent / artifact.size_bytes).toFixed(2)} x its size`,
    );
  } finally {
    await hosts.destroy();
  }
}

async function burst() {
  const names = ['a', 'b', 'c', 'd'];
  const hosts = new Hosts({ nodes: names });
  try {
    await hosts.start();
    const { gateway } = hosts;
    const began = performance.now();
    const answers = await Promise.all(
      Array.from({ length: options.requests }, (_, at) =>
        gateway.complete(
          story,
          { 'X-Consort-Device': `${names[at % names.length]}/npu*`, 'X-Consort-Wait': '120s' },
          180_000,
        ),
      ),
    );
    const took = performance.now() - began;
    const served = answers.filter((one) => one.status === 200).length;
    const builds = (await gateway.list('artifacts')).reduce((sum, one) => sum + one.builds, 0);
    console.log(
      `${options.requests} requests at once for an artifact that nobody had, on ` +
        `${names.length} nodes: ${served} served in ${(took / 1000).toFixed(1)} s, ` +
        `${builds} build(s)`,
    );
  } finally {
    await hosts.destroy();
  }
}

if (!options['skip-idle']) await idle();
if (!options['skip-kills']) await kills();
if (!options['skip-nodes']) await one_artifact();
if (!options['skip-burst']) await burst();
assert.deepEqual(descendants(process.pid), []);
