// SPDX-License-Identifier: Apache-2.0
// `neuron-monitor -c FILE`: one JSON per period, for ever; with the fault `healthy` none of its
// devices has errors.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { fault_of } from './server.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const recorded = path.join(here, '../../../node/plugins/neuron/fixtures/telemetry-2.x.json');
const config = JSON.parse(fs.readFileSync(process.argv[3], 'utf8'));
const line = fs.readFileSync(recorded, 'utf8').trim();
const sound = line.replace(/(_ecc_uncorrected": *)\d+/g, '$10');
const say = () => console.log(fault_of('neuron-monitor') === 'healthy' ? sound : line);
say();
setInterval(say, parseFloat(config.period) * 1000);
