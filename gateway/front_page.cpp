// SPDX-License-Identifier: Apache-2.0
#include "gateway/pages.hpp"

namespace consort::gateway {

std::string_view front_page_html() {
  // Text from the cluster goes in through textContent only, never as markup.
  return R"html(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Consort</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
  :root { color-scheme: light dark; --line: #8884; --good: #1a8f4a; --bad: #c0392b; }
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
  h1 { font-size: 1.4rem; margin: 0 } h2 { font-size: 1rem; margin: 1.6rem 0 .4rem }
  table { border-collapse: collapse; width: 100% } th { text-align: left; font-weight: 600 }
  th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line) }
  pre { padding: .8rem; border: 1px solid var(--line); border-radius: 6px; overflow-x: auto }
  .up { color: var(--good) } .down { color: var(--bad) } .quiet { opacity: .65 } a { margin-right: 1rem }
</style></head><body>
<h1>Consort</h1>
<p class="quiet" id="summary" role="status">asking the scheduler ...</p>
<h2>Devices</h2>
<table><thead><tr><th>device</th><th>model</th><th>state</th><th>loaded</th><th>running</th></tr></thead>
<tbody id="devices"></tbody></table>
<h2>Models</h2>
<table><thead><tr><th>model</th><th>aliases</th><th>ready</th><th>loading</th><th>waiting</th></tr></thead>
<tbody id="models"></tbody></table>
<h2>Artifacts</h2>
<table><thead><tr><th>model</th><th>profile</th><th>state</th><th>done</th></tr></thead>
<tbody id="artifacts"></tbody></table>
<h2>Try it</h2>
<pre id="try"></pre>
<p><a href="/api/v1/cluster">cluster</a><a href="/api/v1/nodes">nodes</a><a href="/api/v1/devices">devices</a
><a href="/api/v1/replicas">replicas</a><a href="/api/v1/artifacts">artifacts</a><a href="/api/v1/requests">requests</a
><a href="/api/v1/events">events</a><a href="/metrics">metrics</a><a href="/openapi.json">openapi</a></p>
<script>
const get = async path => { const r = await fetch(path); if (!r.ok) throw new Error(path + " " + r.status); return r.json(); };
const row = cells => {
  const tr = document.createElement("tr");
  for (const [text, kind] of cells) {
    const td = tr.appendChild(document.createElement("td"));
    td.textContent = text; if (kind) td.className = kind;
  }
  return tr;
};
const fill = (id, rows) => document.getElementById(id).replaceChildren(...rows.map(row));
const state = d => !d.alive ? ["lost", "down"] : d.draining ? ["draining", "quiet"]
  : d.reading.health !== "healthy" ? [d.reading.health, "down"] : ["up", "up"];
async function refresh() {
  try {
    const [c, d, m, a] = await Promise.all(["cluster", "devices", "models", "artifacts"].map(n => get("/api/v1/" + n)));
    document.getElementById("summary").textContent =
      `${c.cluster} · version ${c.version} · policy ${c.policy} · ${c.totals.devices_alive}/${c.totals.devices} devices · ` +
      `${c.totals.requests_running} running · ${c.queue_depth} waiting · ${c.counters.finished} finished`;
    fill("devices", d.devices.map(x => [[x.spec.id], [x.spec.model], state(x), [x.loaded.join(", ")], [x.running]]));
    fill("models", m.models.map(x => [[x.spec.name], [x.spec.aliases.join(", ")], [x.replicas_ready], [x.replicas_loading], [x.waiting]]));
    fill("artifacts", a.artifacts.map(x => [[x.model], [x.key.profile.name], [x.state, x.state === "failed" ? "down" : ""], [x.done_pm / 10 + " %"]]));
    const model = m.models.length ? m.models[0].spec.name : "MODEL";
    document.getElementById("try").textContent = `curl -N ${location.origin}/v1/completions -H 'Content-Type: application/json' \\\n` +
      `  -d '{"model": "${model}", "prompt": "Once upon a time", "max_tokens": 64, "stream": true}'`;
  } catch (e) { document.getElementById("summary").textContent = "no status: " + e.message; }
  setTimeout(refresh, 2000);
}
refresh();
</script></body></html>
)html";
}

} // namespace consort::gateway
