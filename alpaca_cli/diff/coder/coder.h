/* The entropy coder of exact diffs, called by kernel.py; docs/diff_format.md describes what it writes. */
#ifndef ALPACA_CODER_H
#define ALPACA_CODER_H

#include <stdint.h>

#define CODER_VERSION 2

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* Where a processor may have wider vectors than the compiler may count on, the inner functions are compiled twice, and
   the processor is asked.  Not on Windows, where gcc does not align the stack for them; a test leaves it out too. */
#if defined(__GNUC__) && defined(__x86_64__) && !defined(_WIN32) && !defined(NARROW)
#define HAS_WIDE
#define WIDE __attribute__((target("avx2,bmi,bmi2")))
#endif

enum {
    NUM_CONTEXTS = 16,
    NUM_SYMBOLS = 256,
    ESCAPE = NUM_SYMBOLS - 1, /* the symbol of a value that is kept whole */
    PROBABILITY_BITS = 12,
    TOTAL = 1 << PROBABILITY_BITS, /* to which the frequencies of a context add up */
    MAX_LANES = 1024,
    VALUES_A_LANE = 256, /* at least, of a block of few values */
    HEADER_BYTES = 24,   /* top (2), coded contexts (2), number of words (4), raw bytes of each context (16) */
    SAMPLE_STEP = 17,    /* one value of so many decides how many bytes are kept raw */
    GROUP = 8,          /* values among which those with extra bytes are looked for at once */
};
#define LOWEST_STATE (1u << 16)

static inline int64_t num_lanes(int64_t n)
{
    int64_t lanes = n / VALUES_A_LANE;
    return lanes < 1 ? 1 : lanes > MAX_LANES ? MAX_LANES : lanes;
}

#endif
