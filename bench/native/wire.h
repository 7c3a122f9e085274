// What a reader makes of its bytes: chunks taken out, then lines (SSE, RESP) or WebSocket frames, then stamped tokens.
//
// A token's text holds `~NUMBER,NANOSECONDS;`: its number in its stream, from 0, and when it was published. None of
// these characters is escaped in JSON, so a token is found in any event of any peer, several in one event as well.
#ifndef WIRE_H
#define WIRE_H
#include <stddef.h>
#include <stdint.h>
#include "histogram.h"

struct counts {
  uint64_t tokens, events, bytes, reads, gaps, repeats, broken;
  struct histogram latency;
};

struct wire {
  int websocket, chunked, chunk_state, has_data;
  uint64_t chunk_left;
  char *kept;  // the start of a line or frame whose end has not come yet
  size_t kept_bytes, kept_room;
  int64_t next;  // the number of the next token; -1 before the first
  uint64_t tokens;
  char last_id[96];
};

// Takes bytes of a body (changed in place). Returns 1 where a chunked body has ended.
int wire_take(struct wire *w, char *bytes, size_t count, uint64_t now, struct counts *to);
// Forgets what belongs to a connection, and keeps what belongs to the reader.
void wire_reset(struct wire *w);
#endif
