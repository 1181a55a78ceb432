/* The entropy coder of exact diffs, called by kernel.py; docs/diff_format.md describes what it writes. */
#ifndef ALPACA_CODER_H
#define ALPACA_CODER_H

#include <stdint.h>

#define CODER_VERSION 1

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

enum {
    NUM_CONTEXTS = 16,
    NUM_SYMBOLS = 256,
    ESCAPE = NUM_SYMBOLS - 1, /* the symbol of a value that is kept whole */
    PROBABILITY_BITS = 12,
    TOTAL = 1 << PROBABILITY_BITS, /* to which the frequencies of a context add up */
    MAX_LANES = 1024,
    VALUES_A_LANE = 256, /* at least, of a block of few values */
    HEADER_BYTES = 16,   /* top (2), present contexts (2), number of words, of raw bytes, of escapes (4 each) */
};
#define LOWEST_STATE (1u << 16)

static inline int64_t num_lanes(int64_t n)
{
    int64_t lanes = n / VALUES_A_LANE;
    return lanes < 1 ? 1 : lanes > MAX_LANES ? MAX_LANES : lanes;
}

#endif
