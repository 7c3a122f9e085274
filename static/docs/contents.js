/** The list of all routes at the side. */

import { h } from '../ui/dom.js';

/** @typedef {import('./types.js').Group} Group */

/** @param {Group[]} groups */
export function contents(groups) {
  const routes = groups.map(({ tag, routes: each }) => block(tag, each.map(({ id, method, path }) => ({ id, verb: method, text: path }))));
  const sockets = block('websockets', [
    { id: 'ws-one', verb: 'ws', text: '/v1/jobs/{job_id}/ws' }, { id: 'ws-many', verb: 'ws', text: '/v1/ws' },
  ]);
  return [...routes, sockets, h('a', { href: '#schemas-title' }, 'Schemas')];
}

/** @param {string} title @param {{ id: string, verb: string, text: string }[]} links */
function block(title, links) {
  const link = (/** @type {typeof links[number]} */ { id, verb, text }) =>
    h('li', {}, h('a', { href: `#${id}` }, h('span', { class: 'verb', 'data-method': verb }, verb.toUpperCase()), h('code', {}, text)));
  return h('div', { class: 'contents' }, h('p', { class: 'contents-title' }, title), h('ul', {}, ...links.map(link)));
}
