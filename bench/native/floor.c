// The floor: the least that a relay can do, in one thread. Redis's pub/sub in, the same bytes out to every socket of
// that stream, as server-sent events. No log, no positions, no resume; a reader that is full loses what does not fit.
//
//   floor --port P --redis R [--joined 0|1]
//
// A request for /s/NAME gets what is published to the channel NAME. `joined`: one write a reader for all that one read
// from Redis has brought, else one a message.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_SOCKETS = 65536, MOST_STREAMS = 65536 };

struct stream {
  int *sockets, count, room, is_due;
  char *out;
  size_t bytes, out_room;
};

static struct stream streams[MOST_STREAMS];
static int stream_of[MOST_SOCKETS], due[MOST_STREAMS], due_count, poller, is_joined = 1;
static char in[1 << 20], request[8192];
static size_t in_bytes;
static const char HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n";

static void fail(const char *what) {
  perror(what);
  exit(2);
}

static void watch(int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
}

static void write_out(struct stream *s) {
  for (int i = 0; i < s->count; i++)
    if (send(s->sockets[i], s->out, s->bytes, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno != EAGAIN) s->sockets[i--] = s->sockets[--s->count];
  s->bytes = 0;
  s->is_due = 0;
}

static void relay(int number, const char *text, size_t length) {
  struct stream *s = &streams[number];
  if (!s->count) return;
  if (s->out_room < s->bytes + length + 64) s->out = realloc(s->out, s->out_room = 2 * (s->bytes + length + 64));
  s->bytes += (size_t)sprintf(s->out + s->bytes, "%zx\r\ndata: ", length + 8);
  memcpy(s->out + s->bytes, text, length);
  memcpy(s->out + s->bytes + length, "\n\n\r\n", 4);
  s->bytes += length + 4;
  if (!is_joined) write_out(s);
  else if (!s->is_due++) due[due_count++] = number;
}

// One element of a reply: `$LENGTH\r\n…\r\n`, or one line. Returns what follows it, NULL where it is not all there.
static char *element(char *at, char *end, char **text, size_t *length) {
  char *line = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
  if (!line) return NULL;
  *text = at;
  *length = (size_t)(line - at);
  if (*at != '$') return line + 1;
  *length = strtoul(at + 1, NULL, 10);
  *text = line + 1;
  return (size_t)(end - *text) < *length + 2 ? NULL : *text + *length + 2;
}

// Streams are numbered: channel `s:NUMBER`, request `/s/NUMBER`.
static void from_redis(int redis) {
  ssize_t got = read(redis, in + in_bytes, sizeof in - in_bytes);
  if (got <= 0) fail("redis");
  char *at = in, *end = in + (in_bytes += (size_t)got), *texts[4];
  size_t lengths[4];
  while (at < end && *at == '*') {
    char *next = memchr(at, '\n', (size_t)(end - at));
    int count = atoi(at + 1), k = 0;
    if (!next) break;
    for (next++; k < count && k < 4 && next; k++) next = element(next, end, &texts[k], &lengths[k]);
    if (!next) break;
    if (count == 4 && lengths[0] == 8) relay(atoi(texts[2] + 2) % MOST_STREAMS, texts[3], lengths[3]);
    at = next;
  }
  in_bytes = (size_t)(end - at);
  memmove(in, at, in_bytes);
  while (due_count) write_out(&streams[due[--due_count]]);
}

static void accept_all(int listener) {
  int fd, one = 1;
  while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
    if (fd >= MOST_SOCKETS) fail("too many sockets");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    stream_of[fd] = -1;
    watch(fd);
  }
}

static void leave(int fd) {
  if (stream_of[fd] >= 0) {
    struct stream *s = &streams[stream_of[fd]];
    for (int i = 0; i < s->count; i++)
      if (s->sockets[i] == fd) s->sockets[i--] = s->sockets[--s->count];
  }
  close(fd);
}

static void from_reader(int fd) {
  ssize_t got = read(fd, request, sizeof request - 1);
  if (got <= 0) {
    if (got == 0 || errno != EAGAIN) leave(fd);
    return;
  }
  request[got] = 0;
  if (stream_of[fd] >= 0 || strncmp(request, "GET /s/", 7)) return;
  struct stream *s = &streams[stream_of[fd] = atoi(request + 7) % MOST_STREAMS];
  if (s->count == s->room) s->sockets = realloc(s->sockets, sizeof *s->sockets * (size_t)(s->room = s->room ? 2 * s->room : 4));
  s->sockets[s->count++] = fd;
  if (write(fd, HEAD, sizeof HEAD - 1) < 0) leave(fd);
}

static int dial(int port) {
  static const char subscribe[] = "PSUBSCRIBE s:*\r\n";
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&to, sizeof to)) fail("redis");
  if (write(fd, subscribe, sizeof subscribe - 1) < 0) fail("redis");
  return fd;
}

static int listen_at(int port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 4096)) fail("listen");
  return fd;
}

int main(int count, char **words) {
  int port = 0, redis_port = 0;
  for (int i = 1; i + 1 < count; i += 2) {
    if (!strcmp(words[i], "--port")) port = atoi(words[i + 1]);
    else if (!strcmp(words[i], "--redis")) redis_port = atoi(words[i + 1]);
    else if (!strcmp(words[i], "--joined")) is_joined = atoi(words[i + 1]);
  }
  struct rlimit files;
  signal(SIGPIPE, SIG_IGN);
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  int redis = dial(redis_port), listener = listen_at(port);
  if ((poller = epoll_create1(0)) < 0) fail("epoll_create1");
  watch(redis);
  watch(listener);
  for (;;) {
    struct epoll_event events[256];
    int ready = epoll_wait(poller, events, 256, -1);
    for (int i = 0; i < ready; i++) {
      if (events[i].data.fd == listener) accept_all(listener);
      else if (events[i].data.fd == redis) from_redis(redis);
      else from_reader(events[i].data.fd);
    }
  }
}
