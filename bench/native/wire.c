#include "wire.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE, SKIP, DATA, DATA_END, OVER };

void wire_reset(struct wire *w) {
  w->chunk_state = SIZE;
  w->chunk_left = w->kept_bytes = 0;
  w->has_data = 0;
}

static int number(const char **at, const char *end, uint64_t *value) {
  const char *start = *at;
  for (*value = 0; *at < end && (unsigned)(**at - '0') < 10; (*at)++) *value = *value * 10 + (uint64_t)(**at - '0');
  return *at > start && *at < end;
}

static void count_token(struct wire *w, uint64_t n, uint64_t stamp, uint64_t now, struct counts *to) {
  to->tokens++;
  w->tokens++;
  histogram_add(&to->latency, now > stamp ? now - stamp : 0);
  if (w->next >= 0 && n < (uint64_t)w->next) {
    to->repeats++;
    return;
  }
  if (w->next >= 0) to->gaps += n - (uint64_t)w->next;
  w->next = (int64_t)n + 1;
}

static void find_tokens(struct wire *w, const char *at, const char *end, uint64_t now, struct counts *to) {
  uint64_t n, stamp;
  while (at < end && (at = memchr(at, '~', (size_t)(end - at)))) {
    at++;
    if (number(&at, end, &n) && *at++ == ',' && number(&at, end, &stamp) && *at == ';')
      count_token(w, n, stamp, now, to);
    else
      to->broken++;
  }
}

static void take_line(struct wire *w, const char *at, const char *end, uint64_t now, struct counts *to) {
  if (end > at && end[-1] == '\r') end--;
  if (end == at) {
    to->events += (uint64_t)w->has_data;
    w->has_data = 0;
  } else if (*at == 'i' && end - at > 3 && at[1] == 'd' && at[2] == ':') {
    for (at += 3; at < end && *at == ' ';) at++;
    size_t length = (size_t)(end - at) < sizeof w->last_id ? (size_t)(end - at) : sizeof w->last_id - 1;
    memcpy(w->last_id, at, length);
    w->last_id[length] = 0;
  } else {
    w->has_data = w->has_data || *at == 'd';
    find_tokens(w, at, end, now, to);
  }
}

// Returns how many bytes were used up.
static size_t take_lines(struct wire *w, const char *bytes, size_t count, uint64_t now, struct counts *to) {
  const char *at = bytes, *end = bytes + count, *line;
  while (at < end && (line = memchr(at, '\n', (size_t)(end - at)))) {
    take_line(w, at, line, now, to);
    at = line + 1;
  }
  return (size_t)(at - bytes);
}

static size_t take_frames(struct wire *w, const char *bytes, size_t count, uint64_t now, struct counts *to) {
  size_t at = 0;
  while (count - at >= 2) {
    const unsigned char *head = (const unsigned char *)bytes + at;
    size_t length = head[1] & 127, before = length == 127 ? 10 : length == 126 ? 4 : 2;
    if (count - at < before) break;
    if (before > 2) {
      length = 0;
      for (size_t i = 2; i < before; i++) length = length << 8 | head[i];
    }
    if (count - at - before < length) break;
    if ((head[0] & 15) <= 2) {
      to->events++;
      find_tokens(w, (const char *)head + before, (const char *)head + before + length, now, to);
    }
    at += before + length;
  }
  return at;
}

static void keep(struct wire *w, const char *bytes, size_t count) {
  if (w->kept_room < count) w->kept = realloc(w->kept, w->kept_room = count * 2);
  memmove(w->kept, bytes, count);
  w->kept_bytes = count;
}

static void take_body(struct wire *w, const char *bytes, size_t count, uint64_t now, struct counts *to) {
  size_t whole = w->kept_bytes + count, used;
  if (w->kept_bytes) {
    if (w->kept_room < whole) w->kept = realloc(w->kept, w->kept_room = whole * 2);
    memcpy(w->kept + w->kept_bytes, bytes, count);
    bytes = w->kept;
  }
  used = w->websocket ? take_frames(w, bytes, whole, now, to) : take_lines(w, bytes, whole, now, to);
  keep(w, bytes + used, whole - used);
}

// Takes the framing of chunks out, in place. Returns how many bytes are left.
static size_t without_chunks(struct wire *w, char *bytes, size_t count) {
  size_t from = 0, to = 0;
  while (from < count && w->chunk_state != OVER) {
    char c = bytes[from];
    if (w->chunk_state == DATA) {
      size_t part = count - from < w->chunk_left ? count - from : (size_t)w->chunk_left;
      memmove(bytes + to, bytes + from, part);
      to += part;
      from += part;
      if (!(w->chunk_left -= part)) w->chunk_state = DATA_END;
      continue;
    }
    from++;
    if (c == '\n') {
      w->chunk_state = w->chunk_state == DATA_END ? SIZE : w->chunk_left ? DATA : OVER;
    } else if (w->chunk_state == SIZE) {
      if (isxdigit((unsigned char)c)) w->chunk_left = w->chunk_left * 16 + (uint64_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
      else if (c != '\r') w->chunk_state = SKIP;
    }
  }
  return to;
}

int wire_take(struct wire *w, char *bytes, size_t count, uint64_t now, struct counts *to) {
  if (w->chunked) count = without_chunks(w, bytes, count);
  if (count) take_body(w, bytes, count, now, to);
  return w->chunked && w->chunk_state == OVER;
}
