// SPDX-License-Identifier: Apache-2.0
// How long a client waits when the node that serves it dies, or falls silent: many faults under
// load, each wait split into detection, redispatch and the new device's first token.
//   detection   fault -> the gateway ends the attempt (its own log) or the scheduler withdraws it
//   redispatch  from there -> the scheduler's next decision (explain, on its clock)
//   prefill     from there -> the next token at the client
// Usage: CONSORT_BIN=... node tests/storm/failover.mjs [--kills 200] [--fault kill|pause]
//        [--streams 6] [--nodes 3] [--tokens 300] [--seed 1] [--device cpu] [--cold] [--plain]
import { Hosts } from '../system/hosts_support.mjs';
import { eventually, sleep } from '../system/support.mjs';
import {
  Load,
  Random,
  count_by,
  fault_of,
  kind_of,
  options_from,
  percentile,
  spread,
  undisturbed,
} from './storm_support.mjs';

const options = options_from({
  kills: 200,
  fault: 'kill',
  streams: 6,
  nodes: 3,
  tokens: 300,
  seed: 1,
  device: 'cpu',
  cold: false,
  plain: false,
});
const calm_ms = [150, 450]; // Between everybody being back and the next fault.
const paused_ms = 2_500; // A silent host wakes after that.
const stale_ms = 10_000; // A fault that touched no stream is told by then.
// A node that is lost again and again gets no work for up to a minute, so that no more is asked of
// one cluster; the next faults meet a fresh one.
const faults_of_a_cluster = 6;

const random = new Random(options.seed);
const names = Array.from({ length: options.nodes }, (_, i) => `n${i + 1}`);
// No proxies: they would be measured too.
const fresh = () => new Hosts({ tls: !options.plain, nodes: names });
let hosts = fresh();
const say = (text) => console.log(text);

/// Milliseconds of wall-clock time in a log line: `HH:MM:SS.mmm`, today.
function log_time(line) {
  const [, h, m, s, ms] = /^(\d\d):(\d\d):(\d\d)\.(\d{3})/.exec(line) ?? [];
  if (h === undefined) return NaN;
  const day = new Date();
  day.setHours(Number(h), Number(m), Number(s), Number(ms));
  return day.getTime();
}

/// Offset of the scheduler's clock from ours, in milliseconds; the best of several looks.
async function clock_offset() {
  let best = { round_trip: Infinity };
  for (let i = 0; i < 10; ++i) {
    const sent = performance.timeOrigin + performance.now();
    const view = await hosts.scheduler.cluster_view();
    const round_trip = performance.timeOrigin + performance.now() - sent;
    if (round_trip < best.round_trip)
      best = { round_trip, offset: sent + round_trip / 2 - view.now / 1_000 };
  }
  return best.offset;
}

/// Does one fault to a node that serves and undoes it. Returns: {node, at}.
async function one_fault(load) {
  // Where to go must be loaded, as with `replicas.min`; a load would be measured else.
  if (!options.cold) await hosts.warm(names.map((name) => `${name}/${options.device}0`));
  const busy = await eventually(
    'a node that serves',
    async () => {
      const devices = await hosts.scheduler.list('devices');
      const ids = devices.filter((one) => one.running > 0).map((one) => one.spec.id.split('/')[0]);
      return ids.length > 0 && ids;
    },
    stale_ms,
    5,
  );
  await sleep(random.between(0, 50)); // Not always right after a look.
  const node = hosts.node(random.pick([...new Set(busy)]));
  const at = performance.timeOrigin + performance.now();
  if (options.fault === 'kill') {
    await node.kill();
    await node.start();
  } else {
    node.pause();
    await sleep(paused_ms);
    node.resume();
  }
  await hosts.expect_alive(names);
  load.faults.push({ node: node.name, at });
  await sleep(random.between(...calm_ms));
}

/// Token times on the wall clock.
const walls = (record) => record.at.map((at) => performance.timeOrigin + at);

/// The fault that a moved stream met: the one inside, or just before, its widest gap.
function match(record, faults) {
  const at = walls(record);
  let widest = 1;
  for (let i = 1; i < at.length; ++i)
    if (at[i] - at[i - 1] > at[widest] - at[widest - 1]) widest = i;
  const [before, after] = [at[widest - 1], at[widest]];
  const met = faults.find((one) => one.at < after && one.at > before - 250);
  return met && { fault: met, before, after };
}

/// Splits one stream's gap by what the gateway logged and the scheduler decided.
async function split(record, faults, offset) {
  const found = match(record, faults);
  if (!found) return null;
  const { fault, before, after } = found;
  const ended = hosts.gateway.log
    .split('\n')
    .filter((line) => line.includes(record.request) && /attempt \d+ .*(failed|dropped)/.test(line))
    .map(log_time)
    .find((at) => at >= fault.at - 2 && at <= after + 2);
  const explained = (await hosts.scheduler.get(`/api/v1/explain/${record.request}`)).json;
  const decided = explained?.decisions
    ?.filter((one) => one.winner !== '')
    .map((one) => one.at / 1_000 + offset)
    .find((at) => at >= fault.at - 5 && at <= after + 5);
  return {
    gap: after - Math.max(before, fault.at),
    whole_gap: after - before,
    detection: ended - fault.at,
    redispatch: decided - ended,
    prefill: after - decided,
    noticed_and_sent: decided - fault.at,
  };
}

/// So many faults of one cluster under load. Returns: its streams, and the gaps of those moved.
async function measure(faults) {
  const load = new Load(hosts.gateway, random, {
    width: options.streams,
    max_tokens: options.tokens,
    mix: { kinds: { [options.device]: 1 }, two_choices: 0 },
  });
  load.faults = [];
  load.start();
  const offset = await clock_offset();
  const splits = [];
  let judged = 0;
  for (let number = 1; number <= faults; ++number) {
    await one_fault(load);
    // Explanations are kept for the latest requests only, so they are read as we go.
    for (; judged < load.records.length; ++judged) {
      const record = load.records[judged];
      if (!(record.attempts > 1) || record.chunks < 2) continue;
      const one = await split(record, load.faults, offset);
      if (one) splits.push(one);
    }
  }
  return { records: await load.stop(), splits };
}

function report({ records, splits }, texts) {
  const known = (name) => splits.map((one) => one[name]).filter((value) => !Number.isNaN(value));
  const moved = records.filter((one) => one.attempts > 1 || one.errors.length > 0);
  const eligible = moved.filter((one) => one.chunks > 0);
  const resumed = eligible.filter((one) => one.errors.length === 0 && one.ends === 1);
  const faults = records.map((one) => fault_of(one, texts)).filter((one) => one !== null);
  say(`\n${options.kills} x ${options.fault}, ${options.streams} streams on ${names.length} nodes`);
  say(`  last token -> next token   ${spread(known('whole_gap'))}`);
  say(`  fault -> next token        ${spread(known('gap'))}`);
  say(`  fault -> next ticket       ${spread(known('noticed_and_sent'))}`);
  say(`    detection                ${spread(known('detection'))}`);
  say(`    redispatch               ${spread(known('redispatch'))}`);
  say(`  new device's first token   ${spread(known('prefill'))}`);
  say(`  requests ${records.length}, moved ${moved.length}, had shown a token ${eligible.length}`);
  say(
    `  resumed ${resumed.length} of ${eligible.length} ` +
      `(${((100 * resumed.length) / Math.max(1, eligible.length)).toFixed(2)} %)`,
  );
  say(
    `  errors: ${JSON.stringify(
      count_by(
        moved.filter((one) => one.errors[0]),
        (one) => one.errors[0].code,
      ),
    )}`,
  );
  const same = resumed.filter(
    (one) => one.text === texts[`${kind_of(one.device)} ${one.wanted.prompt}`],
  );
  say(`  text the same as undisturbed: ${same.length} of ${resumed.length} resumed`);
  say(
    '  wrong ends, lost or doubled tokens, unmarked differences: ' +
      JSON.stringify(count_by(faults, (one) => one)),
  );
  return percentile(known('noticed_and_sent'), 0.99);
}

try {
  let texts;
  const all = { records: [], splits: [] };
  for (let done = 0; done < options.kills; done += faults_of_a_cluster) {
    if (done > 0) hosts = fresh();
    await hosts.start();
    // Every device is warm and its pace known, as it would be in a cluster that serves.
    await hosts.warm(names.map((name) => `${name}/${options.device}0`));
    const undisturbed_here = await undisturbed(hosts.gateway, [options.device], options.tokens);
    texts ??= undisturbed_here;
    for (const name of names)
      await undisturbed(hosts.gateway, [`${name}/${options.device}0`], options.tokens);
    const { records, splits } = await measure(Math.min(faults_of_a_cluster, options.kills - done));
    all.records.push(...records);
    all.splits.push(...splits);
    say(`${done + faults_of_a_cluster} faults, ${all.splits.length} streams moved`);
    await hosts.expect_idle();
    await hosts.stop();
    await hosts.destroy();
  }
  report(all, texts);
} catch (failure) {
  say(hosts.scheduler ? hosts.tail() : '');
  say(failure.stack);
  process.exitCode = 1;
} finally {
  await hosts.destroy();
}
process.exit();
