// SPDX-License-Identifier: Apache-2.0
// DeepSpeed-MII's REST gateway: POST /mii/DEPLOYMENT answers a JSON list when everything has been
// generated, errors are HTML with 500, and nothing streams. GET /healthz is what serve-mii says in
// front of it.
import { FakeServer, parse_arguments } from './server.mjs';
import { count_tokens } from './story.mjs';

const flags = parse_arguments(process.argv.slice(2));
const deployment = flags['--deployment'] ?? 'consort';
const server = new FakeServer({
  ...{ name: 'mii', model: flags['--model'], port: flags['--port'] },
  ...{ device: flags['--device'], env: ['CUDA_VISIBLE_DEVICES', 'CUDA_DEVICE_ORDER'] },
});
server.refusals = {
  'mii-500': [500, '<!doctype html>\n<title>500 Internal Server Error</title>'],
};
server.on('GET', '/healthz', (request, response) => response.writeHead(200).end('ok'));
server.on('POST', `/mii/${deployment}`, (request, response, body) => {
  if (server.refused(response)) return;
  const asked = JSON.parse(body);
  const [prompt] = asked.prompts;
  let all = '';
  server.decode(
    ...[response, prompt, asked.max_new_tokens],
    (word, made, reason) => {
      all += word;
      if (!reason) return;
      const lengths = { prompt_length: count_tokens(prompt), generated_length: made };
      server.json(response, 200, [{ generated_text: all, ...lengths, finish_reason: reason }]);
    },
    {
      malformed: () => server.json(response, 200, '[{"generated_text": '),
      'not-utf8': () => response.end(Buffer.from('[{"generated_text": "\xff"}]', 'latin1')),
    },
  );
});
server.start();
