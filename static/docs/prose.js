/** Descriptions as the source writes them: paragraphs, and code between backticks. */

import { h } from '../ui/dom.js';

/** The nodes of one line of text. @param {string} text @returns {(Node|string)[]} */
export function inline(text) {
  return text.split(/(``[^`]+``|`[^`]+`)/).map((part) => (part.startsWith('`') ? h('code', {}, part.replaceAll('`', '')) : part));
}

/** The paragraphs of a text. @param {string} text */
export function prose(text) {
  return text.trim().split(/\n\s*\n/).filter(Boolean).map((paragraph) => h('p', {}, ...inline(paragraph)));
}
