// SPDX-License-Identifier: Apache-2.0
// A certificate authority of the tests' own, made with the openssl program: it also issues what the
// product's never would (expired, of another cluster, of a role that does not fit). Every identity
// is a folder as `--cert` wants it: ca.pem, cert.pem, key.pem.
import { execFileSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { binary } from './support.mjs';

const openssl_ms_max = 20_000;
const authority_days = 30;

function openssl(args) {
  execFileSync('openssl', args, { timeout: openssl_ms_max, stdio: ['ignore', 'ignore', 'pipe'] });
}

/// `consort cert` as an operator uses it.
function consort(args) {
  execFileSync(binary, ['cert', ...args], {
    timeout: openssl_ms_max,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

const new_key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

export class Authority {
  /// `folder` must exist; identities become folders below it. `product`: what `consort cert` can
  /// make, it makes.
  constructor(folder, { cluster = 'default', product = false } = {}) {
    this.product = product;
    this.folder = folder;
    this.cluster = cluster;
    this.ca = path.join(folder, 'ca.pem');
    this.key = path.join(folder, 'ca-key.pem');
    if (product) return void consort(['init', '--dir', folder, '--cluster', cluster]);
    openssl([
      ...['req', '-x509', ...new_key, '-keyout', this.key, '-out', this.ca],
      ...['-days', `${authority_days}`, '-subj', `/CN=consort ${cluster}`],
      ...['-addext', 'basicConstraints=critical,CA:TRUE,pathlen:0'],
      ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
      ...['-addext', `subjectAltName=URI:consort://${cluster}`],
    ]);
    fs.chmodSync(this.key, 0o600);
  }

  /// No link with a certificate of that name any more. Requires: a product's authority.
  revoke(name) {
    consort(['revoke', name, '--dir', this.folder]);
  }

  /// A folder with a certificate for `name` in `role`; `days` below zero makes it expired. Returns:
  /// its path.
  issue(role, name, { days = 10, cluster = this.cluster } = {}) {
    if (this.product && days > 0 && cluster === this.cluster) {
      consort([role, name, '--dir', this.folder]);
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
    openssl([
      ...['req', '-new', ...new_key, '-keyout', at('key.pem'), '-out', at('request')],
      ...['-subj', `/CN=${name}`],
    ]);
    openssl([
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
