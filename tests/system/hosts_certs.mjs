// SPDX-License-Identifier: Apache-2.0
// A certificate authority of the tests' own, made with the openssl program: it also issues what the
// product's never would (expired, of another cluster, of a role that does not fit). Every identity
// is a folder as `--cert` wants it: ca.pem, cert.pem, key.pem.
import { execFileSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

const openssl_ms_max = 20_000;
const authority_days = 30;

function openssl(args) {
  execFileSync('openssl', args, { timeout: openssl_ms_max, stdio: ['ignore', 'ignore', 'pipe'] });
}

const new_key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

export class Authority {
  /// `folder` must exist; identities become folders below it.
  constructor(folder, cluster = 'default') {
    this.folder = folder;
    this.cluster = cluster;
    this.ca = path.join(folder, 'ca.pem');
    this.key = path.join(folder, 'ca-key.pem');
    openssl([
      ...['req', '-x509', ...new_key, '-keyout', this.key, '-out', this.ca],
      ...['-days', `${authority_days}`, '-subj', `/CN=consort ${cluster}`],
      ...['-addext', 'basicConstraints=critical,CA:TRUE,pathlen:0'],
      ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
    ]);
    fs.chmodSync(this.key, 0o600);
  }

  /// A folder with a certificate for `name` in `role`; `days` below zero makes it expired. Returns:
  /// its path. Its serial number is in serial_of().
  issue(role, name, { days = 10, cluster = this.cluster } = {}) {
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

/// Upper-case hex, as openssl prints it.
export function serial_of(folder) {
  const pem = fs.readFileSync(path.join(folder, 'cert.pem'));
  return new crypto.X509Certificate(pem).serialNumber;
}
