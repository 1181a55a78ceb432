/* One block of values, coded with static rANS: the tables stand before the data, chosen by the exponent of the base.
 *
 * Tuned values t and base values b are bit patterns of 1, 2, 4 or 8 bytes.  What is coded is the folded difference
 * v = zigzag(t - b), or t with its sign bit moved to the end where there is no base.  A value's context is how far the
 * exponent of b lies below the block's highest, so that differences of like size share a table.  Per context the lowest
 * few bytes of v are kept as they are; what is above them, if under 255, is the symbol; else v is kept whole.
 *
 * Values are worked on a row at a time, so that what one loop hands to the next stays in the nearest cache, and most
 * loops are such that compilers make vectors of them.
 *
 * Decoding trusts nothing: whatever the bytes say, it reads and writes within its buffers, and ends with an error or with
 * n values.  That these are the right ones is for their SHA-256 to tell.
 */
#include "coder.h"

#include <string.h>

#define APART __attribute__((noinline)) /* its arguments are seen not to overlap, so that it is vectorised */

typedef struct {
    uint64_t reciprocal; /* ceil(2^44 / frequency) */
    uint32_t limit_high; /* (frequency << 20) >> 16: a state whose upper half reaches it gives a word away */
    uint16_t complement; /* TOTAL - frequency */
    uint16_t start;
} Encoding;

/* What is written while one block is coded; the caller's memory, so that it is got once for many blocks. */
typedef struct {
    Encoding encodings[NUM_CONTEXTS * NUM_SYMBOLS];
    uint32_t counts[4][NUM_CONTEXTS * NUM_SYMBOLS]; /* of keys; four tables, which are added up in the first */
    uint16_t *keys;  /* context << 8 | symbol, one a value */
    uint16_t *words; /* at most one a value */
    uint32_t states[MAX_LANES];
    uint16_t contexts[MAX_LANES]; /* from here on of the values of one row */
    uint64_t values[MAX_LANES];
    uint8_t lengths[MAX_LANES + GROUP];
    uint16_t groups[MAX_LANES / GROUP];
} Encoder;

typedef struct {
    uint32_t slots[NUM_CONTEXTS * TOTAL]; /* symbol (8 bits), slot - start (12), frequency - 1 (12) */
    uint32_t states[MAX_LANES];
    uint16_t contexts[MAX_LANES]; /* from here on of the values of one row */
    uint16_t keys[MAX_LANES];
    uint8_t lengths[MAX_LANES + GROUP];
    uint16_t groups[MAX_LANES / GROUP];
    uint16_t last_words[MAX_LANES];
} Decoder;

EXPORT int64_t coder_version(void) { return CODER_VERSION; }

/* Frequencies that add up to TOTAL, none of a symbol that occurs being 0. */
static void normalise(const uint32_t *counts, uint64_t n, uint16_t *frequencies)
{
    int64_t missing = TOTAL;
    int largest = 0;
    for (int s = 0; s < NUM_SYMBOLS; s++) {
        uint64_t f = ((uint64_t)counts[s] * TOTAL + n / 2) / n;
        if (counts[s] && !f)
            f = 1;
        frequencies[s] = (uint16_t)f;
        missing -= (int64_t)f;
        if (counts[s] > counts[largest])
            largest = s;
    }
    if (missing > 0)
        frequencies[largest] = (uint16_t)(frequencies[largest] + missing);
    for (; missing < 0; missing++) { /* the largest may have less than is to be given up */
        int most = 0;
        for (int s = 1; s < NUM_SYMBOLS; s++)
            if (frequencies[s] > frequencies[most])
                most = s;
        frequencies[most]--;
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
        encodings[s].complement = (uint16_t)(TOTAL - f);
        encodings[s].start = (uint16_t)start;
        start += (uint32_t)f;
    }
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

/* The frequencies in the order of their symbols, until they add up to TOTAL.  One below 128 takes a byte; another, its
   lower 7 bits with a set bit above them, then the rest.  After a 0 stands how many more of them follow. */
static void put_table(uint8_t **to, const uint16_t *frequencies)
{
    for (int s = 0, left = TOTAL; left;) {
        int f = frequencies[s++];
        left -= f;
        if (f) {
            put(to, f < 128 ? (uint64_t)f : (uint64_t)((f & 127) | 128 | (f >> 7) << 8), f < 128 ? 1 : 2);
            continue;
        }
        int more = 0;
        for (; !frequencies[s]; s++)
            more++;
        put(to, (uint64_t)more << 8, 2);
    }
}

static void fill_slots(uint32_t *slots, uint32_t symbol, uint32_t f)
{
    for (uint32_t i = 0; i < f; i++)
        slots[i] = (f - 1) << 20 | i << 8 | symbol;
}

/* 0 if the table is malformed. */
static int take_table(uint32_t *slots, const uint8_t **from, const uint8_t *end)
{
    uint32_t left = TOTAL;
    for (uint32_t s = 0; left; s++) {
        if (s >= NUM_SYMBOLS || end - *from < 2)
            return 0;
        uint32_t f = (uint32_t)take(from, 1);
        if (!f)
            s += (uint32_t)take(from, 1);
        if (f & 128)
            f = (f & 127) | (uint32_t)take(from, 1) << 7;
        if (f > left)
            return 0;
        fill_slots(slots + TOTAL - left, s, f);
        left -= f;
    }
    return 1;
}

/* Counts keys.  Neighbours go to tables of their own: the same counter twice at once would have to wait for itself. */
static void count_keys(Encoder *e, const uint16_t *keys, int64_t n)
{
    uint32_t *a = e->counts[0], *b = e->counts[1], *c = e->counts[2], *d = e->counts[3];
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        a[keys[i]]++;
        b[keys[i + 1]]++;
        c[keys[i + 2]]++;
        d[keys[i + 3]]++;
    }
    for (; i < n; i++)
        a[keys[i]]++;
}

/* firsts[k]: the first context of which more than k bytes are kept raw.  0 if `num_raw` is malformed. */
static int find_firsts(const uint8_t *num_raw, int width, uint16_t *firsts)
{
    for (int k = 0; k < width; k++)
        firsts[k] = NUM_CONTEXTS;
    for (int c = 0, raw = 0; c < NUM_CONTEXTS; c++) {
        if (num_raw[c] < raw || num_raw[c] >= width)
            return 0;
        for (; raw < num_raw[c]; raw++)
            firsts[raw] = (uint16_t)c;
    }
    return 1;
}

/* Where, among n values, a group begins of which one at least has extra bytes.  `lengths` has room for a group more. */
static int64_t find_groups(uint8_t *lengths, int64_t n, uint16_t *groups)
{
    int64_t num = 0;
    memset(lengths + n, 0, GROUP);
    for (int64_t i = 0; i < n; i += GROUP) {
        uint64_t any;
        memcpy(&any, lengths + i, GROUP);
        groups[num] = (uint16_t)i; /* counts only if there is one: no branch to guess */
        num += any != 0;
    }
    return num;
}

#define TARGET
#define NAME_OF(function, width) function##_##width
#define WIDTH 1
#define VALUE uint8_t
#include "coder_body.h"
#define WIDTH 2
#define VALUE uint16_t
#include "coder_body.h"
#define WIDTH 4
#define VALUE uint32_t
#include "coder_body.h"
#define WIDTH 8
#define VALUE uint64_t
#include "coder_body.h"
#undef TARGET
#undef NAME_OF
#ifdef HAS_WIDE
#define TARGET WIDE
#define NAME_OF(function, width) function##_wide_##width
#define WIDTH 1
#define VALUE uint8_t
#include "coder_body.h"
#define WIDTH 2
#define VALUE uint16_t
#include "coder_body.h"
#define WIDTH 4
#define VALUE uint32_t
#include "coder_body.h"
#define WIDTH 8
#define VALUE uint64_t
#include "coder_body.h"
#endif

/* What a block of n values of `width` bytes takes at most. */
EXPORT int64_t coder_bound(int64_t n, int64_t width)
{
    return HEADER_BYTES + 2 * NUM_CONTEXTS * NUM_SYMBOLS + 4 * MAX_LANES + 2 * n + n * width + 64;
}

/* What encoding or decoding up to n values writes besides its result. */
EXPORT int64_t coder_scratch_bytes(int64_t n)
{
    int64_t encoding = (int64_t)sizeof(Encoder) + 4 * n + 16, decoding = (int64_t)sizeof(Decoder);
    return encoding > decoding ? encoding : decoding;
}

typedef int64_t Encode(const void *, const void *, int64_t, int, uint16_t, Encoder *, uint8_t *);
typedef int64_t Decode(const uint8_t *, int64_t, const void *, int64_t, int, uint16_t, Decoder *, void *);
static Encode *const ENCODE[] = {encode_1, encode_2, encode_4, encode_8};
static Decode *const DECODE[] = {decode_1, decode_2, decode_4, decode_8};
#ifdef HAS_WIDE
static Encode *const ENCODE_WIDE[] = {encode_wide_1, encode_wide_2, encode_wide_4, encode_wide_8};
static Decode *const DECODE_WIDE[] = {decode_wide_1, decode_wide_2, decode_wide_4, decode_wide_8};

static int has_wide(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}
#define OF_WIDTH(FUNCTION, width) (has_wide() ? FUNCTION##_WIDE[index_of(width)] : FUNCTION[index_of(width)])
#else
#define OF_WIDTH(FUNCTION, width) (FUNCTION[index_of(width)])
#endif

static int index_of(int64_t width) { return width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : 3; }

/* Returns the number of bytes written to `out` (at least coder_bound).  `base` may be NULL. */
EXPORT int64_t coder_encode(const void *tuned, const void *base, int64_t n, int64_t width, int64_t exponent_shift,
                            int64_t exponent_mask, void *scratch, uint8_t *out)
{
    return OF_WIDTH(ENCODE, width)(tuned, base, n, (int)exponent_shift, (uint16_t)exponent_mask, scratch, out);
}

/* Returns 1, or 0 if `block` is malformed; `tuned` then holds nothing of use. */
EXPORT int64_t coder_decode(const uint8_t *block, int64_t num_bytes, const void *base, int64_t n, int64_t width,
                            int64_t exponent_shift, int64_t exponent_mask, void *scratch, void *tuned)
{
    return OF_WIDTH(DECODE, width)(block, num_bytes, base, n, (int)exponent_shift, (uint16_t)exponent_mask, scratch,
                                   tuned);
}
