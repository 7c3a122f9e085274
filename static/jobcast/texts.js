/** The text of a job as a reader has it: one string a channel, and which `seq` each part of it came with. */

/** What came with one event: everything after `from`, up to `seq`.
 * @typedef {{from: number, seq: number, text: string}} Piece */

export class Texts {
  /** @type {Map<string, {text: string, pieces: Piece[]}>} */ #channels = new Map();

  get channels() {
    return [...this.#channels.keys()];
  }

  /** @param {string} channel */
  of(channel) {
    return this.#channels.get(channel)?.text ?? '';
  }

  /** @param {string} channel @param {Piece} piece */
  append(channel, piece) {
    const known = this.#channels.get(channel) ?? { text: '', pieces: [] };
    known.pieces.push(piece);
    known.text += piece.text;
    this.#channels.set(channel, known);
  }

  /** Drops what came after a position, and says which channels that changed. A reader who was behind may hold text of
   * both sides in one piece: such a piece is emptied and given back as `cut`, to be filled by `fill`.
   * @param {number} to @returns {{channel: string, cut: Piece|null}[]} */
  rollBack(to) {
    const changed = [];
    for (const [channel, known] of this.#channels) {
      const kept = known.pieces.filter((piece) => piece.seq <= to);
      const first = known.pieces[kept.length];
      if (!first) continue;
      const cut = first.from < to ? { from: first.from, seq: to, text: '' } : null;
      if (cut) kept.push(cut);
      known.pieces = kept;
      known.text = joined(kept);
      changed.push({ channel, cut });
    }
    return changed;
  }

  /** Gives a cut piece its text; false where it has been dropped since.
   * @param {string} channel @param {Piece} piece @param {string} text */
  fill(channel, piece, text) {
    const known = this.#channels.get(channel);
    if (!known?.pieces.includes(piece)) return false;
    piece.text = text;
    known.text = joined(known.pieces);
    return true;
  }
}

/** @param {Piece[]} pieces */
function joined(pieces) {
  return pieces.map((piece) => piece.text).join('');
}
