/** Routes: grouped by tag, each with its parameters, body, answers and a line of curl. */

import { copyButton, h } from '../ui/dom.js';
import { curl } from './curl.js';
import { inline, prose } from './prose.js';
import { fields, resolved, table, typeOf } from './schemas.js';

/** @typedef {import('./types.js').Answer} Answer */
/** @typedef {import('./types.js').Document} Document */
/** @typedef {import('./types.js').Group} Group */
/** @typedef {import('./types.js').Operation} Operation */
/** @typedef {import('./types.js').Route} Route */

/** @param {string} method @param {string} path */
const idOf = (method, path) => `${method}${path.replace(/[^a-z0-9]+/gi, '-')}`.replace(/-$/, '');

/** Every route under its first tag, in the order of the document. @param {Document} description @returns {Group[]} */
export function grouped(description) {
  /** @type {Map<string, Route[]>} */ const byTag = new Map();
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.[0] ?? 'other';
      byTag.set(tag, [...(byTag.get(tag) ?? []), { id: idOf(method, path), method, path, operation }]);
    }
  }
  return [...byTag].map(([tag, routes]) => ({ tag, routes }));
}

/** @param {Group} of @param {Document} description @param {string} base */
export function group({ tag, routes }, description, base) {
  const id = `tag-${tag}`;
  return h('section', { class: 'group', 'aria-labelledby': id },
    h('h2', { id }, tag.charAt(0).toUpperCase() + tag.slice(1)), ...routes.map((each) => route(each, description, base)));
}

/** @param {Route} of @param {Document} description @param {string} base */
function route(of, description, base) {
  const { id, method, path, operation } = of;
  const line = curl(of, description, base);
  const title = h('h3', {}, h('a', { class: 'anchor', href: `#${id}` },
    h('span', { class: 'verb', 'data-method': method }, method.toUpperCase()), ' ', h('code', {}, path)));
  return h('article', { id, class: 'route' }, title,
    h('p', { class: 'summary' }, operation.summary ?? ''), ...prose(operation.description ?? ''),
    h('div', { class: 'curl-line' }, h('pre', {}, line), copyButton('Copy', () => line)),
    parameters(of), body(of, description), answers(operation.responses, `Answers of ${method} ${path}`));
}

/** A header as people write it. @param {string} name */
const asWritten = (name) => name.replace(/\b[a-z]/g, (letter) => letter.toUpperCase());

/** @param {Route} of */
function parameters({ method, path, operation }) {
  const rows = (operation.parameters ?? []).map((each) => ({
    name: each.in === 'header' ? asWritten(each.name) : each.name, of: each.schema ?? {}, about: each.description ?? '',
    note: each.required ? `${each.in}, required` : each.in,
  }));
  return rows.length ? table(rows, `Parameters of ${method} ${path}`) : null;
}

/** @param {Route} of @param {Document} description */
function body({ method, path, operation }, description) {
  const schema = operation.requestBody?.content['application/json']?.schema;
  if (!schema) return null;
  return h('div', { class: 'body' }, h('h4', {}, 'Body: ', ...typeOf(schema)),
    fields(resolved(schema, description), `Body of ${method} ${path}`, true));
}

/** @param {Record<string, Answer>} responses @param {string} label */
function answers(responses, label) {
  const row = (/** @type {[string, Answer]} */ [status, answer]) =>
    h('tr', {}, h('th', { scope: 'row', class: 'status', 'data-class': status.charAt(0) }, status),
      h('td', {}, ...inline(answer.description.replace('Successful Response', 'Done'))), h('td', { class: 'type' }, ...content(answer)));
  const head = h('tr', {}, ...['Status', 'When', 'Answer'].map((text) => h('th', { scope: 'col' }, text)));
  return h('table', { 'aria-label': label }, h('thead', {}, head), h('tbody', {}, ...Object.entries(responses).map(row)));
}

/** @param {Answer} answer */
function content(answer) {
  return Object.entries(answer.content ?? {}).flatMap(([type, { schema }], index) => [
    index ? h('br') : '', type, ...(schema?.$ref ? [': ', ...typeOf(schema)] : []),
  ]);
}
