// SPDX-License-Identifier: Apache-2.0
// Goal: a plugin folder that is dropped on another host is attached from wherever the operator is,
// without a restart, and each node answers for itself: what came, what is broken, or nothing.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { with_hosts } from './hosts_support.mjs';
import { eventually, root, temp_dir } from './support.mjs';

const vendor = path.join(root, 'tests/plugins/fakevendor');

with_hosts('plugins of other hosts', { nodes: [], gateways: [] }, async (check, hosts, t) => {
  const folders = { a: temp_dir('consort-plugins'), b: temp_dir('consort-plugins') };
  t.after(() => {
    for (const one of Object.values(folders)) fs.rmSync(one, { recursive: true, force: true });
  });
  for (const name of ['a', 'b']) await hosts.add_node(name, { args: ['--plugins', folders[name]] });
  await hosts.expect_alive(['a', 'b']);
  await hosts.add_gateway('g1');
  const reload = async (...args) => {
    const done = await hosts.gateway.cli(['plugins', 'reload', ...args, '-o', 'json']);
    const nodes = done.stdout ? JSON.parse(done.stdout).nodes : [];
    return { ...done, nodes: Object.fromEntries(nodes.map((one) => [one.node, one])) };
  };
  const devices = async () => {
    const all = await hosts.scheduler.list('devices');
    return all.filter((one) => one.alive).map((one) => one.spec.id);
  };
  const pim = { 'X-Consort-Device': 'pim' };

  await check('a folder dropped on one node is attached and serves', async () => {
    fs.cpSync(vendor, path.join(folders.b, 'fakevendor'), { recursive: true });
    const done = await hosts.gateway.cli(['plugins', 'reload', 'b']);
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stdout, /^b +reloaded +\+fakevendor +\+b\/pim0,b\/pim1 +changed +\d/m);
    assert.doesNotMatch(done.stdout, /^a /m);
    await eventually('its devices', async () => (await devices()).includes('b/pim1'));
    const answer = await hosts.gateway.complete({ max_tokens: 4 }, pim);
    assert.equal(answer.status, 200, answer.text);
    assert.match(answer.headers.get('x-consort-device'), /^b\/pim/);
  });
  await check('the cluster lists the plugins of its nodes and what they found', async () => {
    const { code, stdout, stderr } = await hosts.gateway.cli(['plugins']);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^b +fakevendor +\S+ .*ready +b\/pim0,b\/pim1 /m);
    assert.match(stdout, /^a +cpu +.*ready +a\/cpu0 /m);
    assert.doesNotMatch(stdout, /^a +fakevendor/m);
    assert.match(stdout, /^\d+ plugins are not on their hosts: --all/m);
    const only = await hosts.gateway.cli(['plugins', '--node', 'b', '-o', 'json']);
    const { nodes, plugins } = JSON.parse(only.stdout);
    assert.deepEqual(nodes, [{ node: 'b', answered: true, left_out: 0 }]);
    assert.ok(plugins.some((one) => one.name === 'nvidia' && !one.available && one.reason));
  });
  await check('all nodes answer, and what did not change is left alone', async () => {
    const { code, nodes, stderr } = await reload();
    assert.equal(code, 0, stderr);
    for (const name of ['a', 'b']) {
      assert.equal(nodes[name].answered, true);
      for (const list of ['plugins_came', 'plugins_gone', 'devices_came', 'devices_gone'])
        assert.deepEqual(nodes[name][list], [], `${name} ${list}`);
    }
    assert.equal((await hosts.gateway.complete({ max_tokens: 4 }, pim)).status, 200);
  });
  await check('a broken folder is told by the node that has it', async () => {
    fs.mkdirSync(path.join(folders.a, 'broken'));
    fs.writeFileSync(path.join(folders.a, 'broken/plugin.json'), '{ "schema": 1,');
    const { code, nodes, stderr } = await reload();
    assert.equal(code, 1);
    assert.match(stderr, /^consort: a: .*broken\/plugin\.json:1:/m);
    assert.equal(nodes.a.answered, true);
    assert.deepEqual(nodes.b.complaints, []);
    fs.rmSync(path.join(folders.a, 'broken'), { recursive: true });
  });
  await check('a node that nobody knows is refused', async () => {
    const { code, stderr } = await reload('c');
    assert.equal(code, 4);
    assert.match(stderr, /no node `c` has a link just now/);
  });
  await check('who does not answer in time is named, and the others are told of', async () => {
    hosts.node('a').pause();
    try {
      // Over HTTP: its link lasts a second, in which a busy machine starts no command.
      const [reloaded, listed] = await Promise.all([
        hosts.gateway.post('/api/v1/plugins/reload', { timeout: '20s' }),
        hosts.gateway.get('/api/v1/plugins'),
      ]);
      const answered = (list) => Object.fromEntries(list.map((one) => [one.node, one.answered]));
      assert.deepEqual(answered(reloaded.json.nodes), { a: false, b: true });
      assert.deepEqual(answered(listed.json.nodes), { a: false, b: true });
    } finally {
      hosts.node('a').resume();
    }
    await hosts.expect_alive(['a', 'b']);
  });
  await check('a folder that went takes its devices with it', async () => {
    fs.rmSync(path.join(folders.b, 'fakevendor'), { recursive: true });
    const { nodes } = await reload('b');
    assert.deepEqual(nodes.b.plugins_gone, ['fakevendor']);
    assert.deepEqual(nodes.b.devices_gone.sort(), ['b/pim0', 'b/pim1']);
    const gone = async () => !(await devices()).some((one) => one.startsWith('b/pim'));
    await eventually('nobody believes in them', gone);
    const now = { ...pim, 'X-Consort-Wait': '0s' };
    const refused = await hosts.gateway.complete({ max_tokens: 4 }, now);
    assert.ok(refused.status >= 400, refused.text);
  });
  await check('one that went while its agent was down takes them too', async () => {
    const folder = path.join(folders.b, 'fakevendor');
    const listed = async () =>
      (await hosts.scheduler.list('devices')).filter((one) => one.spec.id.startsWith('b/'));
    fs.cpSync(vendor, folder, { recursive: true });
    await reload('b');
    await eventually('its devices', async () => (await devices()).includes('b/pim1'));
    await hosts.node('b').kill();
    fs.rmSync(folder, { recursive: true });
    await eventually('all are lost', async () => (await listed()).every((one) => !one.alive));
    assert.ok((await listed()).some((one) => one.spec.id === 'b/pim1'), 'it may come back');
    await hosts.node('b').start();
    const gone = async () => !(await listed()).some((one) => one.spec.id.startsWith('b/pim'));
    await eventually('they are listed no more', gone, 45_000);
    assert.ok((await listed()).some((one) => one.alive), 'the others are back');
  });
});
