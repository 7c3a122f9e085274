/** Fields from a JSON Schema, as pydantic writes them: one a property, and JSON for what has no better form. */

import { h } from './dom.js';
import { FILE_FORMAT, fileControl } from './file-field.js';

const LONG_TEXT = new Set(['prompt', 'text', 'system']);

/** @typedef {{element: HTMLElement, name: string, read: () => any, write: (value: any) => void,
 *   complain: (message: string) => void, settled: () => Promise<boolean>}} Field
 * `settled` waits for what a field has begun, and says whether all is well. */

/** The fields of an object's schema. @param {any} schema @param {import('./file-field.js').Upload} upload
 * @param {{hidden?: string[], needed?: string[]}} [layout] names to leave out, and names to ask for beyond those that
 * the schema requires @returns {Field[]} */
export function fieldsOf(schema, upload, { hidden = [], needed = [] } = {}) {
  const names = Object.keys(schema.properties ?? {}).filter((name) => !hidden.includes(name));
  return names.map((name) => {
    const property = simplified(schema.properties[name], schema.$defs ?? {});
    const required = [...(schema.required ?? []), ...needed].includes(name);
    return field(name, property, required, controlOf(name, property, required, upload));
  });
}

/** A property without indirections: `$ref` followed, "or null" left out. @param {any} property
 * @param {Record<string, any>} defs @returns {any} */
export function simplified(property, defs) {
  if (property.$ref) return simplified({ ...defs[property.$ref.split('/').pop()], ...without(property, '$ref') }, defs);
  const options = (property.anyOf ?? property.oneOf ?? property.allOf ?? []).filter(
    (/** @type {any} */ option) => option.type !== 'null',
  );
  if (options.length !== 1) return property;
  return simplified({ ...options[0], ...without(property, 'anyOf', 'oneOf', 'allOf') }, defs);
}

/** @param {Record<string, any>} value @param {...string} names */
function without(value, ...names) {
  return Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)));
}

/** @param {string} name @param {any} property @param {boolean} required @param {Control} control @returns {Field} */
function field(name, property, required, control) {
  const id = `field-${name}`;
  const error = h('p', { class: 'field-error', id: `${id}-error`, hidden: true });
  const help = property.description && h('p', { class: 'help', id: `${id}-help` }, property.description);
  control.input.id = id;
  control.input.setAttribute('aria-describedby', `${id}-error${help ? ` ${id}-help` : ''}`);
  const label = h(
    'label',
    { for: id },
    property.title ?? name,
    !required && property.default == null && h('span', { class: 'optional' }, ' optional'),
  );
  const complain = (/** @type {string} */ message) => {
    error.textContent = message;
    error.hidden = !message;
    control.input.setAttribute('aria-invalid', String(Boolean(message)));
  };
  control.input.addEventListener('input', () => complain(''));
  control.write(property.default ?? undefined);
  const element = h(
    'div',
    { class: `field field-${control.look}` },
    label,
    control.element ?? control.input,
    help,
    error,
  );
  const settled = async () => {
    const wrong = (await control.settled?.()) ?? '';
    if (wrong) complain(wrong);
    return !wrong;
  };
  return { element, name, read: control.read, write: control.write, complain, settled };
}

/** `element` stands around the input where the input is not all of it; `look` says how much room it takes.
 * @typedef {{input: HTMLInputElement|HTMLTextAreaElement|HTMLSelectElement, element?: HTMLElement, look: string,
 *   read: () => any, write: (value: any) => void, settled?: () => Promise<string>}} Control */

/** @param {string} name @param {any} property @param {boolean} required
 * @param {import('./file-field.js').Upload} upload @returns {Control} */
function controlOf(name, property, required, upload) {
  if (property.format === FILE_FORMAT) return fileControl(upload);
  if (Array.isArray(property.enum)) return choice(property, required);
  if (property.type === 'boolean') return tick();
  if (property.type === 'integer' || property.type === 'number') return amount(property);
  if (property.type === 'string') return text(name, property, required);
  if (property.type === 'array' && property.items?.type === 'string') return lines();
  return json();
}

/** @param {any} property @param {boolean} required @returns {Control} */
function choice(property, required) {
  const blank = required || property.default != null ? [] : [h('option', { value: '' }, '–')];
  const input = h(
    'select',
    {},
    ...blank,
    ...property.enum.map((/** @type {any} */ value) => h('option', { value: JSON.stringify(value) }, String(value))),
  );
  return {
    input,
    look: 'short',
    read: () => (input.value ? JSON.parse(input.value) : undefined),
    write: (value) => {
      if (value !== undefined) input.value = JSON.stringify(value);
    },
  };
}

/** @returns {Control} */
function tick() {
  const input = h('input', { type: 'checkbox' });
  return {
    input,
    look: 'tick',
    read: () => input.checked,
    write: (value) => {
      input.checked = Boolean(value);
    },
  };
}

/** @param {any} property @returns {Control} */
function amount(property) {
  const whole = property.type === 'integer';
  const [min, max] = [property.minimum ?? property.exclusiveMinimum, property.maximum ?? property.exclusiveMaximum];
  const input = h('input', { type: 'number', inputmode: 'decimal', min, max, step: whole ? 1 : 'any' });
  const both = { input, look: 'short', read: () => (input.value === '' ? undefined : Number(input.value)) };
  if (whole || min === undefined || max === undefined)
    return {
      ...both,
      write: (value) => {
        input.value = value ?? '';
      },
    };
  const slider = h('input', { type: 'range', min, max, step: (max - min) / 20, tabindex: '-1', 'aria-hidden': 'true' });
  slider.addEventListener('input', () => {
    input.value = slider.value;
    input.dispatchEvent(new Event('input', { bubbles: true }));
  });
  input.addEventListener('input', () => {
    slider.value = input.value;
  });
  const write = (/** @type {any} */ value) => {
    input.value = slider.value = value ?? '';
  };
  return { ...both, element: h('div', { class: 'slider' }, slider, input), write };
}

/** @param {string} name @param {any} property @param {boolean} required @returns {Control} */
function text(name, property, required) {
  const long = LONG_TEXT.has(name);
  const input = long ? h('textarea', { rows: name === 'system' ? 2 : 5 }) : h('input', { type: 'text' });
  input.autocomplete = 'off';
  return {
    input,
    look: long ? 'long' : 'short',
    read: () => (input.value === '' && !(required && property.minLength === undefined) ? undefined : input.value),
    write: (value) => {
      input.value = value ?? '';
    },
  };
}

/** @returns {Control} */
function lines() {
  const input = h('textarea', { rows: 5, placeholder: 'One a line' });
  return {
    input,
    look: 'long',
    read: () => (input.value.trim() ? input.value.split('\n').filter((line) => line.trim()) : undefined),
    write: (value) => {
      input.value = (value ?? []).join('\n');
    },
  };
}

/** @returns {Control} */
function json() {
  const input = h('textarea', { rows: 5, class: 'code', spellcheck: 'false', placeholder: 'JSON' });
  return {
    input,
    look: 'long',
    read: () => (input.value.trim() ? JSON.parse(input.value) : undefined),
    write: (value) => {
      input.value = value === undefined ? '' : JSON.stringify(value, null, 2);
    },
  };
}
