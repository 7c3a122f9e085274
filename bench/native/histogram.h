// A histogram of nanoseconds: exact below 128, then 64 bins an octave, so that a value is off by 1.6 % at most.
#ifndef HISTOGRAM_H
#define HISTOGRAM_H
#include <stdint.h>
#include <string.h>

enum { BINS_LOG = 6, BINS = 64 * (1 << BINS_LOG) };

struct histogram {
  uint64_t count, most, bins[BINS];
};

static inline void histogram_clear(struct histogram *h) { memset(h, 0, sizeof *h); }

static inline void histogram_add(struct histogram *h, uint64_t value) {
  unsigned shift = 0;
  if (value >> (BINS_LOG + 1)) shift = 63u - (unsigned)__builtin_clzll(value) - BINS_LOG;
  unsigned bin = (shift << BINS_LOG) + (unsigned)(value >> shift);
  h->bins[bin < BINS ? bin : BINS - 1]++;
  h->count++;
  if (value > h->most) h->most = value;
}

// Milliseconds below which the share `q` of all values lies: the middle of its bin.
static inline double histogram_ms(const struct histogram *h, double q) {
  uint64_t wanted = (uint64_t)((double)h->count * q), seen = 0;
  for (unsigned bin = 0; bin < BINS; bin++) {
    seen += h->bins[bin];
    if (h->bins[bin] && seen > wanted) {
      if (bin < 2u << BINS_LOG) return bin / 1e6;
      unsigned shift = (bin >> BINS_LOG) - 1;
      uint64_t low = (uint64_t)(bin - (shift << BINS_LOG)) << shift;
      return ((double)low + (double)(1ull << shift) / 2) / 1e6;
    }
  }
  return (double)h->most / 1e6;
}
#endif
