// SPDX-License-Identifier: Apache-2.0
// A certificate authority of the tests' own, made with the openssl program: it also issues what the
// product's never would (expired, of another cluster, of a role that does not fit). Every identity
// is a folder as `--cert` wants it: ca.pem, cert.pem, key.pem.
import { execFile } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { binary } from './support.mjs';

const openssl_ms_max = 20_000;
const authority_days = 30;

// Never blocks: proxies of a running cluster live in this process.
const run = promisify(execFile);
const openssl = (args) => run('openssl', args, { timeout: openssl_ms_max });
/// `consort cert` as an operator uses it.
const consort = (args) => run(binary, ['cert', ...args], { timeout: openssl_ms_max });

const new_key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

export class Authority {
  /// `folder` must exist; identities become folders below it. `product`: what `consort cert` can
  /// make, it makes.
  static async make(folder, { cluster = 'default', product = false } = {}) {
    const made = new Authority();
    Object.assign(made, { folder, cluster, product });
    made.ca = path.join(folder, 'ca.pem');
    made.key = path.join(folder, 'ca-key.pem');
    if (product) await consort(['init', '--dir', folder, '--cluster', cluster]);
    else await made.#self_sign();
    return made;
  }
  async #self_sign() {
    await openssl([
      ...['req', '-x509', ...new_key, '-keyout', this.key, '-out', this.ca],
      ...['-days', `${authority_days}`, '-subj', `/CN=consort ${this.cluster}`],
      ...['-addext', 'basicConstraints=critical,CA:TRUE,pathlen:0'],
      ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
      ...['-addext', `subjectAltName=URI:consort://${this.cluster}`],
    ]);
    fs.chmodSync(this.key, 0o600);
  }

  /// No link with a certificate of that name any more. Requires: a product's authority.
  async revoke(name) {
    await consort(['revoke', name, '--dir', this.folder]);
  }

  /// A new certificate in the folder of that name. Returns: the serial of the old one. Requires: a
  /// product's authority.
  async renew(name) {
    const before = await consort(['show', path.join(this.folder, name), '-o', 'json']);
    await consort(['renew', name, '--dir', this.folder]);
    return JSON.parse(before.stdout).certificates[0].serial;
  }

  /// A folder with a certificate for `name` in `role`; `days` below zero makes it expired. Returns:
  /// its path.
  async issue(role, name, { days = 10, cluster = this.cluster } = {}) {
    if (this.product && days > 0 && cluster === this.cluster) {
      await consort([role, name, '--dir', this.folder]);
      return path.join(this.folder, name);
    }
    const folder = fs.mkdtempSync(path.join(this.folder, `${role}-${name}-`));
    const at = (file) => path.join(folder, file);
    const serial = crypto.randomBytes(8);
    serial[0] = (serial[0] & 0x3f) | 0x40; // Positive, and of full length.
    fs.writeFileSync(
      at('extensions'),
      `subjectAltName=URI:consort://${cluster}/${role}/${name}\n` +
        'extendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=critical,CA:FALSE\n' +
        'keyUsage=critical,digitalSignature\n',
    );
    await openssl([
      ...['req', '-new', ...new_key, '-keyout', at('key.pem'), '-out', at('request')],
      ...['-subj', `/CN=${name}`],
    ]);
    await openssl([
      ...['x509', '-req', '-in', at('request'), '-CA', this.ca, '-CAkey', this.key],
      ...['-set_serial', `0x${serial.toString('hex')}`, '-days', `${days}`],
      ...['-extfile', at('extensions'), '-out', at('cert.pem')],
    ]);
    fs.copyFileSync(this.ca, at('ca.pem'));
    fs.chmodSync(at('key.pem'), 0o600);
    fs.rmSync(at('request'));
    fs.rmSync(at('extensions'));
    return folder;
  }
}

/// What tls.connect() wants, from such a folder. Names are not checked: identity is in the URI.
export function tls_options(folder) {
  const read = (file) => fs.readFileSync(path.join(folder, file));
  return {
    ca: read('ca.pem'),
    cert: read('cert.pem'),
    key: read('key.pem'),
    checkServerIdentity: () => undefined,
  };
}
