/** A field for a file: what is chosen is uploaded at once, and the field's value is its id. */

import { h, setText } from './dom.js';
import { bytes } from './format.js';

/** @typedef {import('./form.js').Control} Control */
/** @typedef {import('../jobcast/types.js').Uploaded} Uploaded */
/** @typedef {(file: File) => Promise<Uploaded>} Upload */

/** What JSON Schema calls a string that names a file. */
export const FILE_FORMAT = 'jobcast-file';

/** Files that this page has uploaded, to be called by their names. @type {Map<string, Uploaded>} */
const known = new Map();

/** What a file is called, by its id. @param {unknown} id */
export function fileName(id) {
  return known.get(String(id))?.name;
}

/** @param {Upload} upload @returns {Control} */
export function fileControl(upload) {
  /** @type {string|undefined} */ let id;
  /** @type {Promise<string>} what went wrong with the last one, or nothing */ let uploading = Promise.resolve('');
  const input = h('input', { type: 'file' });
  const told = h('p', { class: 'help', role: 'status' });

  const show = () => setText(told, id ? words(id) : '');
  const send = async (/** @type {File} */ file) => {
    try {
      const uploaded = await upload(file);
      known.set(uploaded.id, uploaded);
      if (input.files?.[0] !== file) return '';
      id = uploaded.id;
      show();
    } catch (error) {
      setText(told, '');
      return /** @type {Error} */ (error).message;
    }
    input.dispatchEvent(new Event('input', { bubbles: true }));
    return '';
  };
  input.addEventListener('change', () => {
    const file = input.files?.[0];
    id = undefined;
    show();
    if (!file) return;
    setText(told, `Uploading ${file.name} …`);
    uploading = send(file);
  });
  return {
    input,
    element: h('div', {}, input, told),
    look: 'long',
    read: () => id,
    write: (value) => {
      id = value ?? undefined;
      show();
    },
    settled: () => uploading,
  };
}

/** @param {string} id */
function words(id) {
  const file = known.get(id);
  return file ? `${file.name}: ${file.media_type}, ${bytes(file.size)}` : `Uploaded before: ${id}`;
}
