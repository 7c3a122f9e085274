// The load generator: many readers in one thread, over epoll. It speaks SSE, WebSocket, or Redis's pub/sub.
//
//   readers --port P --targets FILE --readers N [--kind sse|ws|resp] [--warmup S] [--seconds S] …
//
// FILE has a line for each stream: a request target, or a Redis command. Reader i takes line i modulo their count.
// On stdout: `ready N FAILED`, `begin` and `end` at the bounds of the measured time, then one line of JSON.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "clock.h"
#include "wire.h"

enum { CLOSED, CONNECTING, HEAD, BODY };
enum { AT_ONCE = 128 };  // connections that are being opened at the same time, save in a storm

struct reader {
  int fd, state, is_ready, reconnects, is_done;
  uint64_t started, done, drop_at;
  struct wire wire;
};

static struct {
  const char *kind, *targets, *credit;
  int port, readers, stalled, receive_buffer, is_storm, is_idle;
  double warmup, seconds, timeout;
  long expect, drop_after, back_after_ms;
} option = {.kind = "sse", .readers = 1, .warmup = 1, .seconds = 4, .timeout = 60};

static struct reader *readers;
static char **targets;
static int streams, poller, opened, opening, ready, failed, lost, done, reconnects;
static struct counts counts;
static uint64_t counted_before, *delivered;
static struct { uint64_t at; int reader; } *away;  // those that come back later, a ring
static unsigned away_from, away_to;
static char buffer[1 << 18];

static void fail(const char *what) {
  perror(what);
  exit(2);
}

static void watch(int i, int operation, uint32_t events) {
  struct epoll_event event = {.events = events, .data.u32 = (uint32_t)i};
  if (epoll_ctl(poller, operation, readers[i].fd, &event)) fail("epoll_ctl");
}

static void open_reader(int i) {
  struct reader *r = &readers[i];
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)option.port)};
  int one = 1;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if ((r->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)) < 0) fail("socket");
  if (i < option.stalled && option.receive_buffer)
    setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &option.receive_buffer, sizeof option.receive_buffer);
  setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  wire_reset(&r->wire);
  r->state = CONNECTING;
  if (!r->started) {
    r->started = now_ns();
    r->wire.next = -1;
    opening++;
  }
  if (option.drop_after) r->drop_at = r->wire.tokens + (uint64_t)(option.drop_after + random() % option.drop_after);
  if (connect(r->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) fail("connect");
  watch(i, EPOLL_CTL_ADD, EPOLLOUT);
}

static void settle(struct reader *r, int is_ready) {
  if (r->is_ready) return;
  r->is_ready = 1;
  opening--;
  if (is_ready) ready++;
  else failed++;
}

static void close_reader(struct reader *r) {
  close(r->fd);
  r->fd = -1;
  r->state = CLOSED;
}

static void lose(struct reader *r) {
  settle(r, 0);
  if (r->state == BODY && !r->is_done) lost++;
  close_reader(r);
}

static void ask(int i) {
  struct reader *r = &readers[i];
  const char *target = targets[i % streams];
  int size, is_resp = !strcmp(option.kind, "resp");
  if (is_resp) {
    size = snprintf(buffer, sizeof buffer, "%s\r\n", target);
  } else {
    size = snprintf(buffer, sizeof buffer, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s", target, option.port,
                    r->wire.websocket ? "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                        "Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n"
                                      : "Accept: text/event-stream\r\n");
    if (r->reconnects && *r->wire.last_id)
      size += snprintf(buffer + size, sizeof buffer - (size_t)size, "Last-Event-ID: %s\r\n", r->wire.last_id);
    size += snprintf(buffer + size, sizeof buffer - (size_t)size, "\r\n");
  }
  if (write(r->fd, buffer, (size_t)size) != size) {
    lose(r);
    return;
  }
  r->state = is_resp ? BODY : HEAD;
  watch(i, EPOLL_CTL_MOD, EPOLLIN);
  if (is_resp) settle(r, 1);
}

// Reads the head of a response that is in the buffer as a whole. Returns where the body begins, or NULL.
static char *begin_body(int i, size_t count) {
  struct reader *r = &readers[i];
  buffer[count] = 0;
  char *end = strstr(buffer, "\r\n\r\n");
  int status = atoi(buffer + 9);
  if (!end || status != (r->wire.websocket ? 101 : 200)) {
    if (!failed) fprintf(stderr, "readers: unexpected answer: %.300s\n", buffer);
    lose(r);
    return NULL;
  }
  *end = 0;
  r->wire.chunked = strcasestr(buffer, "transfer-encoding: chunked") != NULL;
  r->state = BODY;
  settle(r, 1);
  if (i >= option.stalled) return end + 4;
  epoll_ctl(poller, EPOLL_CTL_DEL, r->fd, NULL);
  return NULL;
}

// A client's frames are masked; with a mask of zeros they are as they were.
static void pong(struct reader *r, const char *bytes, size_t count) {
  if (count < 2 || (unsigned char)bytes[0] != 0x89 || (bytes[1] & 127) > 100) return;
  char frame[128] = {(char)0x8a, (char)(0x80 | bytes[1])};
  size_t length = (size_t)(bytes[1] & 127);
  if (count < 2 + length) return;
  memcpy(frame + 6, bytes + 2, length);
  if (write(r->fd, frame, 6 + length) < 0) lose(r);
}

static void finish(struct reader *r) {
  r->is_done = 1;
  r->done = now_ns();
  done++;
  close_reader(r);
}

static void leave_for_a_while(int i) {
  close_reader(&readers[i]);
  readers[i].reconnects++;
  reconnects++;
  away[away_to % (unsigned)option.readers].at = now_ns() + (uint64_t)option.back_after_ms * 1000000;
  away[away_to++ % (unsigned)option.readers].reader = i;
}

static void read_some(int i) {
  struct reader *r = &readers[i];
  ssize_t got = read(r->fd, buffer, sizeof buffer - 1);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    lose(r);
    return;
  }
  uint64_t now = now_ns();
  char *body = buffer;
  counts.reads++;
  counts.bytes += (uint64_t)got;
  if (r->state == HEAD && !(body = begin_body(i, (size_t)got))) return;
  size_t count = (size_t)(buffer + got - body);
  if (r->wire.websocket) pong(r, body, count);
  if (r->fd < 0) return;
  int is_over = count && wire_take(&r->wire, body, count, now, &counts);
  if (option.expect && r->wire.tokens >= (uint64_t)option.expect) finish(r);
  else if (is_over) lose(r);
  else if (option.drop_after && r->wire.tokens >= r->drop_at) leave_for_a_while(i);
}

static void connected(int i) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(readers[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) lose(&readers[i]);
  else ask(i);
}

static void turn(int wait_ms) {
  static struct epoll_event events[256];
  int count = epoll_wait(poller, events, 256, away_from != away_to && wait_ms > 2 ? 2 : wait_ms);
  for (int k = 0; k < count; k++) {
    int i = (int)events[k].data.u32;
    if (readers[i].fd < 0) continue;
    if (readers[i].state == CONNECTING) connected(i);
    else read_some(i);
  }
  *(volatile uint64_t *)delivered = counted_before + counts.tokens;
  while (away_from != away_to && now_ns() >= away[away_from % (unsigned)option.readers].at)
    open_reader(away[away_from++ % (unsigned)option.readers].reader);
  for (int k = 0; k < AT_ONCE && opened < option.readers && (option.is_storm || opening < AT_ONCE); k++) open_reader(opened++);
}

static void say(const char *word) {
  puts(word);
  fflush(stdout);
}

static int is_told_to_stop(void) {
  struct pollfd in = {0, POLLIN, 0};
  return poll(&in, 1, 0) > 0;
}

static void measure(uint64_t began) {
  uint64_t limit = began + (uint64_t)(option.timeout * 1e9), start;
  while (ready + failed < option.readers && now_ns() < limit) turn(50);
  printf("ready %d %d\n", ready, failed + option.readers - ready - failed);
  fflush(stdout);
  if (option.is_idle) {
    while (!is_told_to_stop()) turn(20);
    return;
  }
  while (!counts.tokens && now_ns() < limit) turn(50);
  for (start = now_ns() + (uint64_t)(option.warmup * 1e9); now_ns() < start && now_ns() < limit;) turn(10);
}

static void report(uint64_t from, double cpu_before) {
  double wall = (double)(now_ns() - from) / 1e9;
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  struct histogram times = {0};
  for (int i = 0; i < option.readers; i++)
    if (readers[i].is_done) histogram_add(&times, readers[i].done - readers[i].started);
  printf("{\"wall_s\":%.6f,\"cpu_s\":%.6f,\"ready\":%d,\"failed\":%d,\"lost\":%d,\"done\":%d,\"reconnects\":%d", wall,
         cpu_s() - cpu_before, ready, option.readers - ready, lost, done, reconnects);
  printf(",\"tokens\":%llu,\"events\":%llu,\"bytes\":%llu,\"reads\":%llu", (unsigned long long)counts.tokens,
         (unsigned long long)counts.events, (unsigned long long)counts.bytes, (unsigned long long)counts.reads);
  printf(",\"gaps\":%llu,\"repeats\":%llu,\"broken\":%llu", (unsigned long long)counts.gaps,
         (unsigned long long)counts.repeats, (unsigned long long)counts.broken);
  printf(",\"p50_ms\":%.4f,\"p90_ms\":%.4f,\"p99_ms\":%.4f,\"most_ms\":%.4f", histogram_ms(&counts.latency, 0.5),
         histogram_ms(&counts.latency, 0.9), histogram_ms(&counts.latency, 0.99), (double)counts.latency.most / 1e6);
  printf(",\"done_p50_ms\":%.3f,\"done_p99_ms\":%.3f,\"done_most_ms\":%.3f}\n", histogram_ms(&times, 0.5),
         histogram_ms(&times, 0.99), (double)times.most / 1e6);
}

// Gaps and repeats count from the start; all else from the beginning of the measured time.
static void clear_counts(void) {
  struct counts kept = {.gaps = counts.gaps, .repeats = counts.repeats, .broken = counts.broken};
  counted_before += counts.tokens;
  counts = kept;
}

static void run(void) {
  uint64_t began = now_ns(), from = began;
  double cpu_before = cpu_s();
  if (option.is_storm) {
    say("begin");
    while (done + failed + lost < option.readers && now_ns() < began + (uint64_t)(option.timeout * 1e9)) turn(50);
  } else {
    measure(began);
    clear_counts();
    from = now_ns();
    cpu_before = cpu_s();
    say("begin");
    for (uint64_t until = from + (uint64_t)(option.seconds * 1e9); !option.is_idle && now_ns() < until;) turn(5);
  }
  say("end");
  report(from, cpu_before);
}

static void read_targets(void) {
  FILE *file = fopen(option.targets, "r");
  char *line = NULL;
  size_t room = 0;
  ssize_t length;
  if (!file) fail(option.targets);
  while ((length = getline(&line, &room, file)) > 1) {
    targets = realloc(targets, sizeof *targets * (size_t)(streams + 1));
    targets[streams++] = strndup(line, (size_t)length - 1);
  }
  fclose(file);
  if (!streams) fail("no targets");
}

static void map_credit(void) {
  int fd = open(option.credit, O_RDWR);
  if (fd < 0) fail(option.credit);
  delivered = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (delivered == MAP_FAILED) fail("mmap");
}

static void read_options(int count, char **words) {
  for (int i = 1; i + 1 < count; i += 2) {
    const char *name = words[i] + 2, *value = words[i + 1];
    if (!strcmp(name, "kind")) option.kind = value;
    else if (!strcmp(name, "targets")) option.targets = value;
    else if (!strcmp(name, "credit")) option.credit = value;
    else if (!strcmp(name, "port")) option.port = atoi(value);
    else if (!strcmp(name, "readers")) option.readers = atoi(value);
    else if (!strcmp(name, "stalled")) option.stalled = atoi(value);
    else if (!strcmp(name, "receive-buffer")) option.receive_buffer = atoi(value);
    else if (!strcmp(name, "storm")) option.is_storm = atoi(value);
    else if (!strcmp(name, "idle")) option.is_idle = atoi(value);
    else if (!strcmp(name, "warmup")) option.warmup = atof(value);
    else if (!strcmp(name, "seconds")) option.seconds = atof(value);
    else if (!strcmp(name, "timeout")) option.timeout = atof(value);
    else if (!strcmp(name, "expect")) option.expect = atol(value);
    else if (!strcmp(name, "drop-after")) option.drop_after = atol(value);
    else if (!strcmp(name, "back-after-ms")) option.back_after_ms = atol(value);
    else {
      fprintf(stderr, "readers: no option %s\n", words[i]);
      exit(2);
    }
  }
}

int main(int count, char **words) {
  struct rlimit files;
  read_options(count, words);
  signal(SIGPIPE, SIG_IGN);
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  read_targets();
  if (option.credit) map_credit();
  else delivered = calloc(1, sizeof *delivered);
  readers = calloc((size_t)option.readers, sizeof *readers);
  away = calloc((size_t)option.readers, sizeof *away);
  if ((poller = epoll_create1(0)) < 0) fail("epoll_create1");
  for (int i = 0; i < option.readers; i++) {
    readers[i].fd = -1;
    readers[i].wire.websocket = !strcmp(option.kind, "ws");
  }
  run();
  return 0;
}
