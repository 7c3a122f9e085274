// Submits over several connections that stay open, in one thread.
//
//   posts --port P --target /v1/jobs --body FILE [--connections N] [--rate R] [--seconds S]
//
// Without a rate each connection asks again as soon as it has its answer. With one, requests are due at even steps, and
// what a request waits for a free connection counts as latency.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#include "clock.h"
#include "histogram.h"

enum { MOST_CONNECTIONS = 256 };

static struct {
  const char *target, *body;
  int port, connections;
  double rate, seconds;
} option = {.target = "/v1/jobs", .connections = 8, .seconds = 4};

static struct {
  uint64_t due;
  size_t bytes;
  int is_busy;
  char answer[1 << 16];
} connections[MOST_CONNECTIONS];
static struct pollfd sockets[MOST_CONNECTIONS];
static char *request;
static size_t request_bytes;
static uint64_t sent, accepted, refused;
static struct histogram latency;

static void fail(const char *what) {
  perror(what);
  exit(2);
}

static void make_request(void) {
  FILE *file = fopen(option.body, "r");
  if (!file) fail(option.body);
  fseek(file, 0, SEEK_END);
  long size = ftell(file);
  rewind(file);
  request = malloc((size_t)size + 1024);
  request_bytes = (size_t)sprintf(request, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nContent-Length: %ld\r\n\r\n",
                                  option.target, option.port, size);
  if (fread(request + request_bytes, 1, (size_t)size, file) != (size_t)size) fail(option.body);
  request_bytes += (size_t)size;
  fclose(file);
}

static int dial(void) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)option.port)};
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

static void ask(int i, uint64_t due) {
  for (size_t gone = 0; gone < request_bytes;) {
    ssize_t n = write(sockets[i].fd, request + gone, request_bytes - gone);
    if (n < 0) fail("write");
    gone += (size_t)n;
  }
  connections[i].due = due;
  connections[i].is_busy = 1;
  connections[i].bytes = 0;
  sent++;
}

static void take_answer(int i) {
  char *answer = connections[i].answer;
  ssize_t got = read(sockets[i].fd, answer + connections[i].bytes, sizeof connections[i].answer - connections[i].bytes - 1);
  if (got <= 0) fail("the server is gone");
  connections[i].bytes += (size_t)got;
  answer[connections[i].bytes] = 0;
  char *body = strstr(answer, "\r\n\r\n"), *length = body ? strcasestr(answer, "content-length:") : NULL;
  if (!body) return;
  size_t whole = (size_t)(body + 4 - answer) + (length && length < body ? strtoul(length + 15, NULL, 10) : 0);
  if (whole >= sizeof connections[i].answer) fail("an answer is too long");
  if (connections[i].bytes < whole) return;
  connections[i].is_busy = 0;
  histogram_add(&latency, now_ns() - connections[i].due);
  if (answer[9] == '2') accepted++;
  else if (!refused++) fprintf(stderr, "posts: %.300s\n", answer);
}

static void run(uint64_t from, uint64_t until) {
  double step = option.rate > 0 ? 1e9 / option.rate : 0;
  uint64_t now;
  while ((now = now_ns()) < until) {
    for (int i = 0; i < option.connections; i++) {
      uint64_t due = from + (uint64_t)((double)sent * step);
      if (!connections[i].is_busy && (step == 0 || due <= now)) ask(i, step == 0 ? now_ns() : due);
    }
    uint64_t next = from + (uint64_t)((double)sent * step);
    struct timespec wait = {0, step > 0 && next > now ? (long)(next - now < 5000000 ? next - now : 5000000) : step > 0 ? 100000 : 5000000};
    if (ppoll(sockets, (nfds_t)option.connections, &wait, NULL) < 0) fail("poll");
    for (int i = 0; i < option.connections; i++)
      if (sockets[i].revents) take_answer(i);
  }
}

int main(int count, char **words) {
  for (int i = 1; i + 1 < count; i += 2) {
    const char *name = words[i] + 2, *value = words[i + 1];
    if (!strcmp(name, "target")) option.target = value;
    else if (!strcmp(name, "body")) option.body = value;
    else if (!strcmp(name, "port")) option.port = atoi(value);
    else if (!strcmp(name, "connections")) option.connections = atoi(value);
    else if (!strcmp(name, "rate")) option.rate = atof(value);
    else if (!strcmp(name, "seconds")) option.seconds = atof(value);
    else {
      fprintf(stderr, "posts: no option %s\n", words[i]);
      return 2;
    }
  }
  if (option.connections > MOST_CONNECTIONS) option.connections = MOST_CONNECTIONS;
  signal(SIGPIPE, SIG_IGN);
  make_request();
  for (int i = 0; i < option.connections; i++) sockets[i] = (struct pollfd){dial(), POLLIN, 0};
  uint64_t from = now_ns();
  run(from, from + (uint64_t)(option.seconds * 1e9));
  double wall = (double)(now_ns() - from) / 1e9;
  printf("{\"wall_s\":%.4f,\"cpu_s\":%.4f,\"accepted\":%llu,\"refused\":%llu,\"post_p50_ms\":%.3f,\"post_p99_ms\":%.3f}\n", wall,
         cpu_s(), (unsigned long long)accepted, (unsigned long long)refused, histogram_ms(&latency, 0.5), histogram_ms(&latency, 0.99));
  return 0;
}
