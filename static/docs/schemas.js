/** JSON Schema for people: a type in words, tables of fields, an example. */

import { h } from '../ui/dom.js';
import { inline } from './prose.js';

/** @typedef {import('./types.js').Schema} Schema */
/** @typedef {import('./types.js').Document} Document */

/** @param {string} ref such as `#/components/schemas/Job` */
const nameOf = (ref) => ref.slice(ref.lastIndexOf('/') + 1);

/** The schema itself, where there is only a reference to it. @param {Schema} schema @param {Document} description */
export function resolved(schema, description) {
  return schema.$ref ? (description.components?.schemas?.[nameOf(schema.$ref)] ?? {}) : schema;
}

/** What a value is, in words. @param {Schema} schema @returns {(Node|string)[]} */
export function typeOf(schema) {
  if (schema.$ref) return [h('a', { href: `#schema-${nameOf(schema.$ref)}` }, nameOf(schema.$ref))];
  if (schema.anyOf) return schema.anyOf.flatMap((each, index) => [index ? ' or ' : '', ...typeOf(each)]);
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(', ')];
  if (schema.items) return ['list of ', ...typeOf(schema.items), bounds(schema)];
  return [(schema.format ?? schema.type ?? 'any JSON') + bounds(schema)];
}

/** @param {Schema} schema */
function bounds(schema) {
  const length = range(schema.minLength, schema.maxLength, ' characters') || range(schema.minItems, schema.maxItems, ' items');
  const above = schema.exclusiveMinimum === undefined ? '' : `, above ${schema.exclusiveMinimum}`;
  const pattern = schema.pattern ? `, ${schema.pattern}` : '';
  return range(schema.minimum, schema.maximum, '', above !== '') + above + length + pattern;
}

/** @param {number|undefined} low @param {number|undefined} high @param {string} unit */
function range(low, high, unit, bounded = false) {
  if (low === undefined && high === undefined) return '';
  if (high === undefined) return `, at least ${low}${unit}`;
  return low === undefined || bounded ? `, at most ${high}${unit}` : `, ${low} to ${high}${unit}`;
}

/** A table: name, type, meaning. @param {{ name: string, of: Schema, note: string, about: string }[]} rows @param {string} label */
export function table(rows, label) {
  const row = (/** @type {typeof rows[number]} */ { name, of, note, about }) =>
    h('tr', {}, h('th', { scope: 'row' }, h('code', {}, name), note && h('span', { class: 'row-note' }, note)),
      h('td', { class: 'type' }, ...typeOf(of)), h('td', {}, ...inline(about), defaultOf(of)));
  const head = h('tr', {}, ...['Name', 'Type', 'Meaning'].map((text) => h('th', { scope: 'col' }, text)));
  return h('table', { 'aria-label': label }, h('thead', {}, head), h('tbody', {}, ...rows.map(row)));
}

/** @param {Schema} schema */
function defaultOf(schema) {
  const value = schema.default;
  if (value === undefined || value === null || value === '') return null;
  return h('span', { class: 'default' }, 'Default: ', h('code', {}, JSON.stringify(value)));
}

/** The fields of an object. @param {Schema} schema @param {string} label @param {boolean} asked of a request, where a
 * field may be left out */
export function fields(schema, label, asked) {
  const required = schema.required ?? [];
  const rows = Object.entries(schema.properties ?? {}).map(([name, of]) => ({
    name, of, about: of.description ?? '', note: asked && required.includes(name) ? 'required' : '',
  }));
  return rows.length ? table(rows, label) : null;
}

/** A small value that the schema allows. @param {Schema} schema @param {Document} description @returns {unknown} */
export function example(schema, description) {
  if (schema.examples) return schema.examples[0];
  if (schema.$ref) return example(resolved(schema, description), description);
  if (schema.enum) return schema.enum[0];
  if (!schema.properties) return schema.type === 'string' ? 'KEY' : (schema.default ?? {});
  const of = schema.properties;
  return Object.fromEntries((schema.required ?? []).map((name) => [name, example(of[name] ?? {}, description)]));
}

/** Every schema that a route refers to. @param {Document} description */
export function schemas(description) {
  const known = Object.entries(description.components?.schemas ?? {});
  const one = (/** @type {[string, Schema]} */ [name, schema]) =>
    h('article', { id: `schema-${name}`, class: 'route' }, h('h3', {}, h('code', {}, name)),
      h('p', {}, ...inline(schema.description ?? '')), fields(schema, `Fields of ${name}`, true));
  return h('section', { id: 'schemas-group', class: 'group', 'aria-labelledby': 'schemas-title' },
    h('h2', { id: 'schemas-title' }, 'Schemas'), ...known.map(one));
}
