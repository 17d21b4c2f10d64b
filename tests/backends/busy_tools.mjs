// SPDX-License-Identifier: Apache-2.0
// What a vendor's tools print while its devices work: the recorded answers of idle devices with
// another utilization. An engine that generates on a device that shows no work is found out.
import fs from 'node:fs';
import path from 'node:path';
import { shipped } from './shipped.mjs';

const idle = {
  'rbln-smi': [/"util": "0\.0"/g, '"util": "50.0"'],
  'furiosa-smi': [/"pe_utilization": 0\.0/g, '"pe_utilization": 50.0'],
  'npu-smi': [/(0000:[0-9A-F:.]+ *\| )0 /g, '$150'],
  'hl-smi': [/, 0 %$/gm, ', 50 %'],
  'nvidia-smi': [/, 0, 0, 37,/g, ', 0, 50, 37,'],
};

/// The tools of a table's entry, their answers copied to `folder` and changed.
export function busy_tools(tools, folder) {
  const copy = (name, file) => {
    const from = path.isAbsolute(file) ? file : path.join(shipped, file);
    const to = path.join(folder, `${name}-${path.basename(file)}`);
    const text = fs.readFileSync(from, 'utf8');
    fs.writeFileSync(to, idle[name] ? text.replace(...idle[name]) : text);
    return to;
  };
  const changed = Object.entries(tools ?? {}).map(([name, cases]) => [
    name,
    cases.map(([pattern, file]) => [pattern, copy(name, file)]),
  ]);
  return Object.fromEntries(changed);
}
