// SPDX-License-Identifier: Apache-2.0
// Elements made of text only, never of markup, since names and reasons come from the cluster; the
// line of a figure over time; and how figures are written.

/// el('td', {class: 'x'}, 'text', node): null children are left out.
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else if (value !== null) made.setAttribute(name, value);
  }
  made.append(...children.filter((one) => one !== null && one !== undefined).map(String_or_node));
  return made;
}

const String_or_node = (one) => (one instanceof Node ? one : String(one));

export const by_id = (id) => document.getElementById(id);
export const fill = (id, children) => by_id(id).replaceChildren(...children);

/// A bar of `part` of 1 with its words; null where a reading is unknown, since that is no zero.
export function meter(name, part, words) {
  if (part === null || Number.isNaN(part)) return null;
  const bar = el('i', { role: 'img', 'aria-label': `${name} ${Math.round(part * 100)} %` });
  bar.style.setProperty('--part', `${Math.min(Math.max(part, 0), 1) * 100}%`);
  return el('div', { class: 'meter' }, el('span', {}, name), bar, el('span', {}, words));
}

const svg = (tag, attributes) => {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
};

/// The values of the last `span_ms`, oldest first, from nothing to the largest of them; gaps where
/// a value is null.
export function line_of(points, now, span_ms) {
  const known = points.filter((one) => one.value !== null && one.at > now - span_ms);
  const most = Math.max(...known.map((one) => one.value), 1e-9);
  const places = known.map(({ at, value }) => [
    100 - ((now - at) / span_ms) * 100,
    38 - (value / most) * 35,
  ].map((one) => one.toFixed(2)).join(','));
  const chart = svg('svg', { viewBox: '0 0 100 40', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  if (places.length > 1) {
    const [begin, end] = [places[0].split(',')[0], places.at(-1).split(',')[0]];
    chart.append(svg('polygon', { points: `${begin},40 ${places.join(' ')} ${end},40` }));
    chart.append(svg('polyline', { points: places.join(' ') }));
  }
  return chart;
}

const rounded = (value) => (value >= 100 ? Math.round(value) : Number(value.toPrecision(3)));

export function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const step = count > 0 ? Math.min(Math.floor(Math.log2(count) / 10), units.length - 1) : 0;
  return `${rounded(count / 1024 ** step)} ${units[step]}`;
}

export function span(us) {
  if (us < 1e3) return `${Math.round(us)} us`;
  if (us < 1e6) return `${rounded(us / 1e3)} ms`;
  if (us < 120e6) return `${rounded(us / 1e6)} s`;
  return us < 7200e6 ? `${Math.round(us / 60e6)} min` : `${rounded(us / 3600e6)} h`;
}

export const number = (value) => rounded(value).toLocaleString('en');
