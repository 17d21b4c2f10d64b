// SPDX-License-Identifier: Apache-2.0
// The plugin folders that ship, as what is written in them.
import fs from 'node:fs';
import path from 'node:path';
import { root } from '../system/support.mjs';

export const shipped = path.join(root, 'node/plugins');

/// plugin.json without its comments, which begin their lines.
export const document_of = (folder) => {
  const text = fs.readFileSync(path.join(shipped, folder, 'plugin.json'), 'utf8');
  return JSON.parse(text.replace(/^\s*\/\/.*$/gm, ''));
};

/// Names of those with a plugin.json.
export const shipped_folders = () =>
  fs.readdirSync(shipped).filter((one) => fs.existsSync(path.join(shipped, one, 'plugin.json')));
