// The publisher of the peers: stamped tokens to many streams over one connection, paced or in a closed loop.
//
//   speak --port P --kind publish|set|http --names FILE [--rate R] [--seconds S] [--size B]
//         [--credit FILE --fan READERS_A_STREAM --window W]
//
// FILE names a stream a line: a channel, a key, or the target of a POST. With a rate, each stream gets R tokens a
// second. Without one, at most W tokens a stream are under way: FILE of --credit is where the readers count.
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
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "clock.h"

enum { MOST_UNANSWERED = 4096, MOST_AT_ONCE = 512, IDLE_NS = 50000, TICK_NS = 1000000 };

static struct {
  const char *kind, *names, *credit;
  int port, size, window, fan;
  long count;
  double rate, seconds;
} option = {.kind = "publish", .size = 8, .window = 4, .fan = 1, .seconds = 5};

static char **names, out[1 << 20], in[1 << 18], pad[65536];
static int streams, connection, is_http;
static size_t out_bytes, in_bytes;
static uint64_t sent, answered, refused, *numbers, none, *delivered = &none;

static void fail(const char *what) {
  perror(what);
  exit(2);
}

// Takes complete answers off `in`. Redis answers with one line each to what is sent here.
static void take_answers(void) {
  char *at = in, *end = in + in_bytes, *line;
  while ((line = memchr(at, '\n', (size_t)(end - at)))) {
    if (is_http) {
      char *body = memmem(at, (size_t)(end - at), "\r\n\r\n", 4), *length;
      if (!body) break;
      *body = 0;
      length = strcasestr(at, "content-length:");
      size_t count = length ? strtoul(length + 15, NULL, 10) : 0;
      int is_refused = at[9] != '2';
      *body = '\r';
      if ((size_t)(end - body - 4) < count) break;
      if (is_refused && !refused++) fprintf(stderr, "speak: %.200s\n", at);
      line = body + 3 + count;
    } else if (*at == '-' && !refused++) {
      fprintf(stderr, "speak: %.200s\n", at);
    }
    answered++;
    at = line + 1;
  }
  in_bytes = (size_t)(end - at);
  memmove(in, at, in_bytes);
}

static void receive(void) {
  ssize_t got = read(connection, in + in_bytes, sizeof in - in_bytes - 1);
  if (got == 0 || (got < 0 && errno != EAGAIN)) fail("the server is gone");
  if (got > 0) {
    in_bytes += (size_t)got;
    in[in_bytes] = 0;
    take_answers();
  }
}

static void flush(void) {
  for (size_t gone = 0; gone < out_bytes;) {
    ssize_t n = write(connection, out + gone, out_bytes - gone);
    if (n > 0) gone += (size_t)n;
    else if (errno != EAGAIN) fail("write");
    else {
      struct pollfd both = {connection, POLLIN | POLLOUT, 0};
      poll(&both, 1, 1000);
      if (both.revents & POLLIN) receive();
    }
  }
  out_bytes = 0;
}

static void rest_ns(uint64_t ns) {
  struct pollfd answers = {connection, POLLIN, 0};
  struct timespec limit = {0, (long)(ns < 20000000 ? ns : 20000000)};
  if (ppoll(&answers, 1, &limit, NULL) > 0) receive();
}

static void say(int stream) {
  char text[70000], *name = names[stream];
  int size = snprintf(text, sizeof text, "~%llu,%llu;%.*s", (unsigned long long)numbers[stream]++,
                      (unsigned long long)now_ns(), option.size, pad);
  if (out_bytes + (size_t)size + 1024 > sizeof out) flush();
  char *to = out + out_bytes;
  size_t room = sizeof out - out_bytes;
  if (is_http)
    out_bytes += (size_t)snprintf(to, room, "POST %s HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s", name, size, text);
  else
    out_bytes += (size_t)snprintf(to, room, "*3\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n$%d\r\n%s\r\n", strlen(option.kind),
                                  option.kind, strlen(name), name, size, text);
  sent++;
}

static int is_over(uint64_t until) { return now_ns() >= until || (option.count && sent >= (uint64_t)option.count); }

static void speak_at_a_rate(uint64_t from, uint64_t until) {
  double step = 1e9 / (option.rate * streams);
  int at = 0;
  while (!is_over(until)) {
    uint64_t now = now_ns(), due = (uint64_t)((double)(now - from) / step) + 1;
    for (int k = 0; sent < due && k < MOST_AT_ONCE && sent - answered < MOST_UNANSWERED; k++) {
      say(at);
      at = (at + 1) % streams;
    }
    flush();
    uint64_t next = from + (uint64_t)((double)sent * step);
    if (streams > 1 && next < now + TICK_NS / 4) next = now + TICK_NS / 4;
    now = now_ns();
    if (next > now) rest_ns(next - now);
    else receive();
  }
}

static void speak_in_a_loop(uint64_t until) {
  uint64_t before = *delivered, allowed = (uint64_t)option.window * (uint64_t)streams;
  int at = 0;
  while (!is_over(until)) {
    uint64_t arrived = (*(volatile uint64_t *)delivered - before) / (uint64_t)option.fan;
    int said = 0;
    while (sent < arrived + allowed && said < MOST_AT_ONCE && sent - answered < MOST_UNANSWERED && !(option.count && sent >= (uint64_t)option.count)) {
      say(at);
      at = (at + 1) % streams;
      said++;
    }
    flush();
    if (said) receive();
    else rest_ns(IDLE_NS);
  }
}

static void dial(void) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)option.port)};
  int one = 1;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  connection = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(connection, (struct sockaddr *)&to, sizeof to)) fail("connect");
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(connection, F_SETFL, O_NONBLOCK);
}

static void read_names(void) {
  FILE *file = fopen(option.names, "r");
  char *line = NULL;
  size_t room = 0;
  ssize_t length;
  if (!file) fail(option.names);
  while ((length = getline(&line, &room, file)) > 1) {
    names = realloc(names, sizeof *names * (size_t)(streams + 1));
    names[streams++] = strndup(line, (size_t)length - 1);
  }
  fclose(file);
  if (!streams) fail("no names");
}

static void read_options(int count, char **words) {
  for (int i = 1; i + 1 < count; i += 2) {
    const char *name = words[i] + 2, *value = words[i + 1];
    if (!strcmp(name, "kind")) option.kind = value;
    else if (!strcmp(name, "names")) option.names = value;
    else if (!strcmp(name, "credit")) option.credit = value;
    else if (!strcmp(name, "port")) option.port = atoi(value);
    else if (!strcmp(name, "size")) option.size = atoi(value);
    else if (!strcmp(name, "window")) option.window = atoi(value);
    else if (!strcmp(name, "fan")) option.fan = atoi(value);
    else if (!strcmp(name, "count")) option.count = atol(value);
    else if (!strcmp(name, "rate")) option.rate = atof(value);
    else if (!strcmp(name, "seconds")) option.seconds = atof(value);
    else {
      fprintf(stderr, "speak: no option %s\n", words[i]);
      exit(2);
    }
  }
  if (option.size >= (int)sizeof pad) option.size = sizeof pad - 1;
}

int main(int count, char **words) {
  read_options(count, words);
  signal(SIGPIPE, SIG_IGN);
  is_http = !strcmp(option.kind, "http");
  memset(pad, 'x', sizeof pad - 1);
  read_names();
  numbers = calloc((size_t)streams, sizeof *numbers);
  if (option.credit) {
    int fd = open(option.credit, O_RDWR);
    if (fd < 0) fail(option.credit);
    delivered = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
  }
  dial();
  uint64_t from = now_ns(), until = from + (uint64_t)(option.seconds * 1e9);
  if (option.rate > 0) speak_at_a_rate(from, until);
  else speak_in_a_loop(until);
  double wall = (double)(now_ns() - from) / 1e9;
  for (uint64_t limit = now_ns() + 2000000000u; answered < sent && now_ns() < limit;) rest_ns(10000000);
  printf("{\"sent\":%llu,\"answered\":%llu,\"refused\":%llu,\"wall_s\":%.3f,\"cpu_s\":%.3f}\n", (unsigned long long)sent,
         (unsigned long long)answered, (unsigned long long)refused, wall, cpu_s());
  return 0;
}
