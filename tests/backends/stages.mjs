// SPDX-License-Identifier: Apache-2.0
// Devices that are several servers, one for each stage of a request: what each of them is asked.
import assert from 'node:assert/strict';
import { type_of } from './suite.mjs';

export const picture = (name) => ({
  type: 'image_url',
  image_url: { url: `data:image/png;base64,${Buffer.from(name).toString('base64')}` },
});
const text = (words) => ({ type: 'text', text: words });

/// `vllm serve` with a role in the transfer of embeddings.
export const ec = (ec_role, ...more) => [
  ...['serve', 'x', '--served-model-name', 'tale', '--ec-transfer-config'],
  ...[JSON.stringify({ ec_connector: 'ECExampleConnector', ec_role }), ...more],
];

/// What was asked since, of whatever server, in its order.
export const asked_since = (stand, began) =>
  stand
    .journal('request')
    .filter((one) => one.method === 'POST' && one.at >= began)
    .map((one) => JSON.parse(one.body));

export function chat(stand, content) {
  const body = { model: stand.backend.model, messages: [{ role: 'user', content }] };
  return stand.cluster.post('/v1/chat/completions', { ...body, max_tokens: 4 }, type_of(stand));
}

const looked = (stand, began) =>
  stand
    .journal('embedding')
    .filter((one) => one.at >= began)
    .map((one) => one.found);

/// `stages`: how many servers a request with pictures passes, the encoder among them.
export const encodes_first = (stages) => ({
  'what is to be seen is encoded first, and found by who prefills': async (stand) => {
    const began = Date.now();
    const content = [picture('ash'), text('What is on the first?'), picture('elm')];
    const answer = await chat(stand, content);
    assert.equal(answer.status, 200, answer.text);
    const bodies = asked_since(stand, began);
    assert.equal(bodies.length, stages);
    const [shown] = bodies;
    assert.deepEqual(shown.messages, [{ role: 'user', content: [content[0], content[2]] }]);
    assert.equal(shown.max_tokens, 1);
    assert.equal(shown.stream, false);
    for (const later of bodies.slice(1)) assert.deepEqual(later.messages[0].content, content);
    assert.deepEqual(looked(stand, began), [true, true]);
  },
  'the encoder sees no request without pictures': async (stand) => {
    const began = Date.now();
    assert.equal((await chat(stand, 'What is an elm?')).status, 200);
    assert.equal(asked_since(stand, began).length, stages - 1);
  },
  'where the encoder fails, who prefills encodes': async (stand) => {
    stand.faults('vllm@ec_producer=vllm-500');
    const began = Date.now();
    const answer = await chat(stand, [picture('rowan'), text('And this?')]);
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(looked(stand, began), [false]);
  },
  'what the encoder refuses is refused': async (stand) => {
    stand.faults('vllm@ec_producer=vllm-400');
    const answer = await chat(stand, [picture('yew'), text('And this?')]);
    assert.equal(answer.status, 400, answer.text);
    assert.match(answer.text, /vllm says no/);
  },
});
