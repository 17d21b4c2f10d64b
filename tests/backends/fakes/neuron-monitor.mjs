// SPDX-License-Identifier: Apache-2.0
// `neuron-monitor -c FILE`: one JSON per period, for ever.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const recorded = path.join(here, '../../../node/plugins/neuron/fixtures/telemetry-2.x.json');
const config = JSON.parse(fs.readFileSync(process.argv[3], 'utf8'));
const line = fs.readFileSync(recorded, 'utf8').trim();
const say = () => console.log(line);
say();
setInterval(say, parseFloat(config.period) * 1000);
