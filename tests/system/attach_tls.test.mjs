// SPDX-License-Identifier: Apache-2.0
// Goal: a model server of somebody else's is attached over TLS where its certificate is vouched
// for, and where it is not, or is for another host, that is said in so many words.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';
import { Cluster, eventually, run_cli, temp_dir } from './support.mjs';

const openssl = (...args) => promisify(execFile)('openssl', args);

/// An authority of our own.
async function make_authority(dir) {
  const made = { key: path.join(dir, 'ca-key.pem'), cert: path.join(dir, 'ca.pem') };
  await openssl(
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
    ...['-keyout', made.key, '-out', made.cert, '-days', '2', '-subj', '/CN=test authority'],
  );
  return made;
}

/// A certificate by it for one name.
async function make_certificate(dir, authority, name) {
  const [key, asked, cert, more] = ['key', 'csr', 'pem', 'ext'].map((end) =>
    path.join(dir, `server.${end}`),
  );
  await openssl(
    ...['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
    ...['-keyout', key, '-out', asked, '-subj', '/CN=server'],
  );
  fs.writeFileSync(more, `subjectAltName=${name}\n`);
  await openssl(
    ...['x509', '-req', '-in', asked, '-CA', authority.cert, '-CAkey', authority.key],
    ...['-CAcreateserial', '-out', cert, '-days', '2', '-extfile', more],
  );
  return { key: fs.readFileSync(key), cert: fs.readFileSync(cert) };
}

/// Speaks OpenAI's protocol over TLS, to who has the key.
function serve(tls) {
  const server = https.createServer(tls, (request, response) => {
    if (request.url === '/health') return void response.end();
    if (request.headers.authorization !== 'Bearer a-key') {
      return void response.writeHead(401).end('{"error": {"message": "no key"}}');
    }
    if (request.url === '/v1/models') return void response.end('{"data": [{"id": "distant"}]}');
    request.resume();
    request.on('end', () => {
      const choices = [{ index: 0, text: ' over TLS', finish_reason: 'stop' }];
      const usage = { prompt_tokens: 1, completion_tokens: 2 };
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ object: 'text_completion', choices, usage }));
    });
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

function write_plugin(dir, url) {
  const folder = path.join(dir, 'plugins/distant');
  fs.mkdirSync(folder, { recursive: true });
  const probe = { command: ['echo', '{"id": "distant", "model": "distant"}'] };
  const plugin = {
    ...{ schema: 1, name: 'distant', version: '1', vendor: 'Distant', type: 'remote' },
    probe: { ...probe, id: '/id', model: '/model' },
    capability: { max_sequences: 4, formats: ['server/*'], runtime: { cancel: true } },
    runtime: { interface: 'server', url, key_env: 'DISTANT_KEY', start_timeout: '10s' },
  };
  fs.writeFileSync(path.join(folder, 'plugin.json'), JSON.stringify(plugin));
}

test('a model server behind TLS', { timeout: 600_000 }, async (t) => {
  const dir = temp_dir('consort-tls');
  const authority = await make_authority(dir);
  let server = null;
  let cluster = null;
  const begin = async (name, env) => {
    server = await serve(await make_certificate(dir, authority, name));
    write_plugin(dir, `https://127.0.0.1:${server.address().port}/v1`);
    cluster = new Cluster({
      args: ['--plugins', path.join(dir, 'plugins')],
      env: { DISTANT_KEY: 'a-key', ...env },
    });
    await cluster.start();
    const added = await cluster.cli(['model', 'add', 'distant', 'server:distant']);
    assert.equal(added.code, 0, added.stderr);
  };
  const finish = async () => {
    if (cluster) await cluster.destroy();
    if (server) await new Promise((resolve) => server.close(resolve));
    cluster = server = null;
  };
  t.after(async () => {
    await finish();
    fs.rmSync(dir, { recursive: true, force: true });
  });
  const ask = (wait) =>
    cluster.complete({ model: 'distant', max_tokens: 4 }, { 'X-Consort-Wait': wait });
  const refused = async (words) => {
    const answer = ask('3s');
    const said = async () => words.test(cluster.output);
    await eventually('it is said why', said);
    assert.ok((await answer).status >= 500, 'nothing was sent there');
  };

  await t.test('it is believed for an authority that the agent was given', async () => {
    await begin('IP:127.0.0.1', { SSL_CERT_FILE: authority.cert });
    const answer = await ask('15s');
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.choices[0].text, ' over TLS');
    await finish();
  });
  await t.test('three commands and a key in the environment attach a provider', async () => {
    const env = { DISTANT_KEY: 'a-key', SSL_CERT_FILE: authority.cert };
    server = await serve(await make_certificate(dir, authority, 'IP:127.0.0.1'));
    const url = `https://127.0.0.1:${server.address().port}/v1`;
    const plugins = path.join(dir, 'made');
    const init = (...more) =>
      run_cli(['plugin', 'init', 'far', '--from-url', url, '--dir', plugins, ...more], { env });
    const keyless = await init();
    assert.notEqual(keyless.code, 0);
    assert.match(keyless.stderr, /says 401: it wants an API key[^]*--key-env NAME/);
    const made = await init('--type', 'remote', '--key-env', 'DISTANT_KEY');
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stdout, /consort model add distant server:distant/);
    const text = fs.readFileSync(path.join(plugins, 'far/plugin.json'), 'utf8');
    assert.ok(!(text + made.stdout + made.stderr).includes('a-key'), 'the key is written down');
    cluster = new Cluster({ args: ['--plugins', plugins], env });
    await cluster.start();
    const added = await cluster.cli(['model', 'add', 'distant', 'server:distant']);
    assert.equal(added.code, 0, added.stderr);
    const answer = await ask('15s');
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.choices[0].text, ' over TLS');
    await finish();
  });
  await t.test('an authority that nobody named is refused', async () => {
    await begin('IP:127.0.0.1', {});
    await refused(/its certificate is not believed: unable to get local issuer certificate/);
    await finish();
  });
  await t.test('and a certificate for another host', async () => {
    await begin('DNS:elsewhere.example', { SSL_CERT_FILE: authority.cert });
    await refused(/its certificate is not believed: it is not for 127\.0\.0\.1/);
    await finish();
  });
});
