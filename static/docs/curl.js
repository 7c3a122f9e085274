/** A line of curl for a route, to be copied and run. */

import { example } from './schemas.js';

/** @typedef {import('./types.js').Route} Route */
/** @typedef {import('./types.js').Document} Document */

/** @param {Route} route @param {Document} description @param {string} base the server's address */
export function curl(route, description, base) {
  const { method, operation } = route;
  const body = operation.requestBody?.content['application/json']?.schema;
  const words = ['curl'];
  if (streams(route)) words.push('-N');
  if (method !== 'get' && !(method === 'post' && body)) words.push('-X', method.toUpperCase());
  words.push(quoted(base + address(route)));
  if (body) words.push("-H 'Content-Type: application/json' \\\n ", '-d', `'${JSON.stringify(example(body, description))}'`);
  return words.join(' ');
}

/** Whether the first answer is an event stream. @param {Route} route */
const streams = (route) => Object.keys(route.operation.responses['200']?.content ?? {}).includes('text/event-stream');

/** @param {Route} route */
function address({ path, operation }) {
  const required = (operation.parameters ?? []).filter((each) => each.in === 'query' && each.required);
  const query = required.map((each) => `${each.name}=${each.name === 'job' ? 'ID' : 'VALUE'}`).join('&');
  return path.replace(/\{[^}]+\}/g, 'ID') + (query && `?${query}`);
}

/** For a shell. @param {string} text */
const quoted = (text) => (/[?&;]/.test(text) ? `'${text}'` : text);
