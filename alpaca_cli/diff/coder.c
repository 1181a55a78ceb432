/* One block of values, coded with static rANS: the tables stand before the data, chosen by the exponent of the base.
 *
 * Tuned values t and base values b are bit patterns of 1, 2, 4 or 8 bytes.  What is coded is the folded difference
 * v = zigzag(t - b), or t with its sign bit moved to the end where there is no base.  A value's context is how far the
 * exponent of b lies below the block's highest, so that differences of like size share a table.  Per context the lowest
 * `raw` bytes of v are kept as they are; what is above them, if under 255, is the symbol; else v is kept whole.
 *
 * Decoding trusts nothing: whatever the bytes say, it reads and writes within its buffers, and ends with an error or with
 * n values.  That these are the right ones is for their SHA-256 to tell.
 */
#include "coder.h"

#include <string.h>

typedef struct {
    uint64_t reciprocal; /* ceil(2^44 / frequency) */
    uint32_t limit_high; /* (frequency << 20) >> 16: a state whose upper half reaches it gives a word away */
    uint32_t complement; /* TOTAL - frequency */
    uint32_t start;
} Encoding;

typedef struct {
    uint32_t slots[NUM_CONTEXTS][TOTAL]; /* symbol (8 bits), slot - start (12), frequency - 1 (12) */
    uint8_t num_raw[NUM_CONTEXTS];
} Tables;

/* What is written while one block is coded; the caller's memory, so that it is got once for many blocks. */
typedef struct {
    Encoding encodings[NUM_CONTEXTS * NUM_SYMBOLS];
    uint32_t counts[4 * NUM_CONTEXTS * NUM_SYMBOLS]; /* of symbols, per context; four tables, which are added up */
    uint8_t *contexts, *symbols; /* one a value */
    uint16_t *words;             /* at most one a value */
    void *values;
} Scratch;

EXPORT int64_t coder_version(void) { return CODER_VERSION; }

/* Frequencies that add up to TOTAL, none of a symbol that occurs being 0. */
static void normalise(const uint32_t *counts, uint64_t n, uint16_t *frequencies)
{
    int64_t sum = 0;
    int largest = 0;
    for (int s = 0; s < NUM_SYMBOLS; s++) {
        uint64_t f = ((uint64_t)counts[s] * TOTAL + n / 2) / n;
        if (counts[s] && !f)
            f = 1;
        frequencies[s] = (uint16_t)f;
        sum += (int64_t)f;
        if (counts[s] > counts[largest])
            largest = s;
    }
    /* At most 256 symbols were rounded, each by at most one: the largest, of at least 16, may have to give up more than
       it has, so take from the next ones too. */
    int64_t missing = TOTAL - sum;
    if (missing >= 0) {
        frequencies[largest] = (uint16_t)(frequencies[largest] + missing);
        return;
    }
    while (missing < 0) {
        int most = 0;
        for (int s = 1; s < NUM_SYMBOLS; s++)
            if (frequencies[s] > frequencies[most])
                most = s;
        frequencies[most]--;
        missing++;
    }
}

static void fill_encodings(const uint16_t *frequencies, Encoding *encodings)
{
    uint32_t start = 0;
    for (int s = 0; s < NUM_SYMBOLS; s++) {
        uint64_t f = frequencies[s];
        if (!f)
            continue;
        encodings[s].reciprocal = (((uint64_t)1 << 44) + f - 1) / f;
        encodings[s].limit_high = (uint32_t)(f << 4);
        encodings[s].complement = (uint32_t)(TOTAL - f);
        encodings[s].start = start;
        start += (uint32_t)f;
    }
}

/* Code `symbols` from the last to the first; words are written from `end` downwards.  Returns where they begin. */
static uint16_t *encode_symbols(const uint8_t *symbols, const uint8_t *contexts, int64_t n, const Encoding *encodings,
                                uint32_t *states, int64_t lanes, uint16_t *end)
{
    for (int64_t j = 0; j < lanes; j++)
        states[j] = LOWEST_STATE;
    int64_t i = n;
    while (i > 0) {
        int64_t first = (i - 1) / lanes * lanes;
        for (; i > first; i--) {
            const Encoding *e = &encodings[(contexts[i - 1] << 8) | symbols[i - 1]];
            uint32_t x = states[i - 1 - first];
            uint32_t is_full = (x >> 16) >= e->limit_high;
            end[-1] = (uint16_t)x; /* counts only if the state is full */
            end -= is_full;
            x >>= is_full << 4;
            uint32_t quotient = (uint32_t)(((uint64_t)x * e->reciprocal) >> 44);
            states[i - 1 - first] = x + e->start + quotient * e->complement;
        }
    }
    return end;
}

static void put(uint8_t **to, uint64_t value, int num_bytes)
{
    for (int i = 0; i < num_bytes; i++)
        *(*to)++ = (uint8_t)(value >> (8 * i));
}

static uint64_t take(const uint8_t **from, int num_bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < num_bytes; i++)
        value |= (uint64_t)*(*from)++ << (8 * i);
    return value;
}

/* `memory` (coder_scratch_bytes, at a multiple of 8) as a Scratch. */
static Scratch *make_scratch(void *memory, int64_t n)
{
    Scratch *s = memory;
    memset(s->encodings, 0, sizeof s->encodings);
    s->values = s + 1;
    s->words = (uint16_t *)((uint8_t *)s->values + 8 * n);
    s->contexts = (uint8_t *)(s->words + n + 1);
    s->symbols = s->contexts + n;
    return s;
}

/* Fill `counts`.  Neighbours go to tables of their own: the same counter twice at once would have to wait for itself. */
static void count(Scratch *s, int64_t n)
{
    enum { SIZE = NUM_CONTEXTS * NUM_SYMBOLS };
    uint32_t *a = s->counts, *b = a + SIZE, *c = b + SIZE, *d = c + SIZE;
    memset(a, 0, 4 * SIZE * sizeof(uint32_t));
    const uint8_t *contexts = s->contexts, *symbols = s->symbols;
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        a[contexts[i] << 8 | symbols[i]]++;
        b[contexts[i + 1] << 8 | symbols[i + 1]]++;
        c[contexts[i + 2] << 8 | symbols[i + 2]]++;
        d[contexts[i + 3] << 8 | symbols[i + 3]]++;
    }
    for (; i < n; i++)
        a[contexts[i] << 8 | symbols[i]]++;
    for (i = 0; i < SIZE; i++)
        a[i] += b[i] + c[i] + d[i];
}

/* Reads the tables from `*from`, not beyond `end`; 0 if they are malformed. */
static int read_tables(Tables *tables, uint32_t present, int width, const uint8_t **from, const uint8_t *end)
{
    for (int c = 0; c < NUM_CONTEXTS; c++) {
        tables->num_raw[c] = 0;
        if (!(present >> c & 1)) {
            memset(tables->slots[c], 0, sizeof tables->slots[c]);
            continue;
        }
        if (end - *from < 2)
            return 0;
        tables->num_raw[c] = (uint8_t)take(from, 1);
        int num = (int)take(from, 1) + 1, before = -1;
        if (tables->num_raw[c] >= width || end - *from < 3 * num)
            return 0;
        uint32_t start = 0;
        for (; num; num--) {
            int symbol = (int)take(from, 1);
            uint32_t f = (uint32_t)take(from, 2);
            if (symbol <= before || !f || start + f > TOTAL)
                return 0;
            for (uint32_t i = 0; i < f; i++)
                tables->slots[c][start + i] = (f - 1) << 20 | i << 8 | (uint32_t)symbol;
            start += f;
            before = symbol;
        }
        if (start != TOTAL)
            return 0;
    }
    return 1;
}

#define WIDTH 1
#define VALUE uint8_t
#define NAME(function) function##_1
#include "coder_body.h"
#define WIDTH 2
#define VALUE uint16_t
#define NAME(function) function##_2
#include "coder_body.h"
#define WIDTH 4
#define VALUE uint32_t
#define NAME(function) function##_4
#include "coder_body.h"
#define WIDTH 8
#define VALUE uint64_t
#define NAME(function) function##_8
#include "coder_body.h"

/* What a block of n values of `width` bytes takes at most. */
EXPORT int64_t coder_bound(int64_t n, int64_t width)
{
    return HEADER_BYTES + NUM_CONTEXTS * (2 + 3 * NUM_SYMBOLS) + 4 * MAX_LANES + 2 * n + 2 * n * width + 64;
}

/* What encoding or decoding up to n values writes besides its result. */
EXPORT int64_t coder_scratch_bytes(int64_t n)
{
    int64_t encoding = (int64_t)sizeof(Scratch) + 12 * n + 16, decoding = (int64_t)sizeof(Tables);
    return encoding > decoding ? encoding : decoding;
}

#define OF_WIDTH(function, ...) \
    (width == 1 ? function##_1(__VA_ARGS__) : width == 2 ? function##_2(__VA_ARGS__) \
     : width == 4 ? function##_4(__VA_ARGS__) : function##_8(__VA_ARGS__))

/* Returns the number of bytes written to `out` (at least coder_bound).  `base` may be NULL. */
EXPORT int64_t coder_encode(const void *tuned, const void *base, int64_t n, int64_t width, int64_t exponent_shift,
                            int64_t exponent_mask, void *scratch, uint8_t *out)
{
    int shift = (int)exponent_shift;
    uint32_t mask = (uint32_t)exponent_mask;
    return OF_WIDTH(encode, tuned, base, n, shift, mask, scratch, out);
}

/* Returns 1, or 0 if `block` is malformed. */
EXPORT int64_t coder_decode(const uint8_t *block, int64_t num_bytes, const void *base, int64_t n, int64_t width,
                            int64_t exponent_shift, int64_t exponent_mask, void *scratch, void *tuned)
{
    int shift = (int)exponent_shift;
    uint32_t mask = (uint32_t)exponent_mask;
    return OF_WIDTH(decode, block, num_bytes, base, n, shift, mask, scratch, tuned);
}
