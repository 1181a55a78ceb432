/* The part of coder.c that depends on the width of a value; included once for each. */

#define BITS (8 * WIDTH)

static inline VALUE NAME(zigzag)(VALUE d) { return (VALUE)((VALUE)(d << 1) ^ (VALUE)-(VALUE)(d >> (BITS - 1))); }
static inline VALUE NAME(unzigzag)(VALUE v) { return (VALUE)((v >> 1) ^ (VALUE)-(VALUE)(v & 1)); }
static inline VALUE NAME(sign_last)(VALUE t) { return (VALUE)((VALUE)(t << 1) | (t >> (BITS - 1))); }
static inline VALUE NAME(sign_first)(VALUE v) { return (VALUE)((v >> 1) | (VALUE)(v << (BITS - 1))); }

/* The context of each value; returns the highest exponent.  A mask of 0 gives one context. */
static uint32_t NAME(find_top)(const VALUE *base, int64_t n, int shift, uint32_t mask)
{
    uint32_t top = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t e = (uint32_t)(base[i] >> shift) & mask;
        top = e > top ? e : top;
    }
    return top;
}

static void NAME(find_contexts)(const VALUE *base, int64_t n, int shift, uint32_t mask, uint32_t top, uint8_t *contexts)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t below = top - ((uint32_t)(base[i] >> shift) & mask);
        contexts[i] = (uint8_t)(below < NUM_CONTEXTS ? below : NUM_CONTEXTS - 1);
    }
}

static int64_t NAME(encode)(const VALUE *tuned, const VALUE *base, int64_t n, int shift, uint32_t mask, void *scratch,
                            uint8_t *out)
{
    Scratch *s = make_scratch(scratch, n);
    int64_t lanes = num_lanes(n);
    VALUE *values = s->values;
    uint32_t top = 0;
    if (base) {
        for (int64_t i = 0; i < n; i++)
            values[i] = NAME(zigzag)((VALUE)(tuned[i] - base[i]));
    } else {
        for (int64_t i = 0; i < n; i++)
            values[i] = NAME(sign_last)(tuned[i]);
    }
    if (base && mask) {
        top = NAME(find_top)(base, n, shift, mask);
        NAME(find_contexts)(base, n, shift, mask, top, s->contexts);
    } else {
        memset(s->contexts, 0, (size_t)n);
    }

    /* How many bytes are kept raw: the fewest with which at most a value in 32 is kept whole. */
    uint64_t large[NUM_CONTEXTS][WIDTH] = {{0}}, totals[NUM_CONTEXTS] = {0};
    uint8_t num_raw[NUM_CONTEXTS];
    for (int64_t i = 0; i < n; i++)
        s->symbols[i] = values[i] < ESCAPE ? (uint8_t)values[i] : ESCAPE;
    count(s, n);
    int has_raw = 0;
    for (int c = 0; c < NUM_CONTEXTS; c++) {
        for (int k = 0; k < NUM_SYMBOLS; k++)
            totals[c] += s->counts[c << 8 | k];
        large[c][0] = s->counts[c << 8 | ESCAPE];
        num_raw[c] = 0;
        has_raw |= WIDTH > 1 && large[c][0] * 32 > totals[c];
    }
    if (has_raw) {
        for (int64_t i = 0; i < n; i++)
            for (int k = 1; k < WIDTH; k++)
                large[s->contexts[i]][k] += values[i] >> (8 * k) >= ESCAPE;
        for (int c = 0; c < NUM_CONTEXTS; c++)
            while (num_raw[c] < WIDTH - 1 && large[c][num_raw[c]] * 32 > totals[c])
                num_raw[c]++;
        for (int64_t i = 0; i < n; i++) {
            VALUE v = (VALUE)(values[i] >> (8 * num_raw[s->contexts[i]]));
            s->symbols[i] = v < ESCAPE ? (uint8_t)v : ESCAPE;
        }
        count(s, n);
    }

    uint8_t *at = out + HEADER_BYTES;
    uint32_t present = 0;
    uint64_t num_escapes = 0, num_raw_bytes = 0;
    for (int c = 0; c < NUM_CONTEXTS; c++) {
        if (!totals[c])
            continue;
        const uint32_t *counts = s->counts + (c << 8);
        uint16_t frequencies[NUM_SYMBOLS];
        normalise(counts, totals[c], frequencies);
        fill_encodings(frequencies, s->encodings + (c << 8));
        present |= 1u << c;
        num_escapes += counts[ESCAPE];
        num_raw_bytes += (totals[c] - counts[ESCAPE]) * num_raw[c];
        put(&at, num_raw[c], 1);
        uint8_t *num = at++;
        for (int k = 0; k < NUM_SYMBOLS; k++) {
            if (frequencies[k]) {
                put(&at, (uint64_t)k, 1);
                put(&at, frequencies[k], 2);
            }
        }
        *num = (uint8_t)((at - num - 1) / 3 - 1);
    }
    uint32_t states[MAX_LANES];
    uint16_t *end = s->words + n + 1, *first = encode_symbols(s->symbols, s->contexts, n, s->encodings, states, lanes, end);
    memcpy(at, states, (size_t)lanes * 4);
    at += lanes * 4;
    memcpy(at, first, (size_t)(end - first) * 2);
    at += (end - first) * 2;
    if (num_raw_bytes) {
        for (int64_t i = 0; i < n; i++) {
            if (s->symbols[i] != ESCAPE) {
                memcpy(at, values + i, WIDTH);
                at += num_raw[s->contexts[i]];
            }
        }
    }
    if (num_escapes) {
        for (int64_t i = 0; i < n; i++) {
            if (s->symbols[i] == ESCAPE) {
                memcpy(at, values + i, WIDTH);
                at += WIDTH;
            }
        }
    }
    uint8_t *header = out;
    put(&header, top, 2);
    put(&header, present, 2);
    put(&header, (uint64_t)(end - first), 4);
    put(&header, num_raw_bytes, 4);
    put(&header, num_escapes, 4);
    return at - out;
}

static int64_t NAME(decode)(const uint8_t *block, int64_t num_bytes, const VALUE *base, int64_t n, int shift,
                            uint32_t mask, void *scratch, VALUE *tuned)
{
    const uint8_t *at = block, *end = block + num_bytes;
    if (num_bytes < HEADER_BYTES)
        return 0;
    uint32_t top = (uint32_t)take(&at, 2), present = (uint32_t)take(&at, 2);
    uint64_t num_words = take(&at, 4), num_raw_bytes = take(&at, 4), num_escapes = take(&at, 4);
    Tables *tables = scratch;
    uint32_t states[MAX_LANES];
    int64_t lanes = num_lanes(n);
    if (!read_tables(tables, present, WIDTH, &at, end) ||
        (uint64_t)(end - at) != (uint64_t)lanes * 4 + num_words * 2 + num_raw_bytes + num_escapes * WIDTH)
        return 0;
    memcpy(states, at, (size_t)lanes * 4);
    at += lanes * 4;
    const uint8_t *words = at, *raw = words + num_words * 2, *escapes = raw + num_raw_bytes;
    const uint8_t *words_end = raw, *raw_end = escapes;
    uint8_t contexts[MAX_LANES] = {0}, symbols[MAX_LANES];
    int is_sound = 1;
    for (int64_t first = 0; first < n && is_sound; first += lanes) {
        int64_t num = n - first < lanes ? n - first : lanes;
        if (base && mask)
            NAME(find_contexts)(base + first, num, shift, mask, top, contexts);
        int is_special = 0;
        if (words_end - words < 2 * num) { /* near the end: each word's place is looked at */
            for (int64_t j = 0; j < num; j++) {
                uint32_t entry = tables->slots[contexts[j]][states[j] & (TOTAL - 1)];
                uint32_t x = ((entry >> 20) + 1) * (states[j] >> PROBABILITY_BITS) + (entry >> 8 & (TOTAL - 1));
                if (x < LOWEST_STATE) {
                    if (words == words_end) {
                        is_sound = 0;
                        break;
                    }
                    uint16_t word;
                    memcpy(&word, words, 2);
                    words += 2;
                    x = x << 16 | word;
                }
                states[j] = x;
                symbols[j] = (uint8_t)entry;
                is_special |= (symbols[j] == ESCAPE) | tables->num_raw[contexts[j]];
            }
        } else {
            for (int64_t j = 0; j < num; j++) {
                uint32_t entry = tables->slots[contexts[j]][states[j] & (TOTAL - 1)];
                uint32_t x = ((entry >> 20) + 1) * (states[j] >> PROBABILITY_BITS) + (entry >> 8 & (TOTAL - 1));
                uint16_t word;
                memcpy(&word, words, 2);
                uint32_t low = -(uint32_t)(x < LOWEST_STATE); /* all ones or none: no branch to guess */
                words += low & 2;
                states[j] = x << (low & 16) | (word & low);
                symbols[j] = (uint8_t)entry;
                is_special |= ((uint8_t)entry == ESCAPE) | tables->num_raw[contexts[j]];
            }
        }
        VALUE *to = tuned + first;
        if (!is_special) {
            for (int64_t j = 0; j < num; j++)
                to[j] = symbols[j];
        } else if (raw_end - raw >= WIDTH * num && end - raw >= WIDTH * num + 8) { /* read 8 bytes, use a few */
            for (int64_t j = 0; j < num; j++) {
                int num_raw = tables->num_raw[contexts[j]];
                uint64_t low;
                memcpy(&low, raw, 8);
                low &= ((uint64_t)1 << (8 * num_raw)) - 1;
                to[j] = (VALUE)((VALUE)((VALUE)symbols[j] << (8 * num_raw)) | (VALUE)low);
                if (symbols[j] == ESCAPE) {
                    if (end - escapes < WIDTH) {
                        is_sound = 0;
                        break;
                    }
                    memcpy(to + j, escapes, WIDTH);
                    escapes += WIDTH;
                    num_raw = 0;
                }
                raw += num_raw;
            }
        } else {
            for (int64_t j = 0; j < num; j++) {
                int num_raw = tables->num_raw[contexts[j]];
                const uint8_t **from = symbols[j] == ESCAPE ? &escapes : &raw;
                const uint8_t *from_end = symbols[j] == ESCAPE ? end : raw_end;
                int num_taken = symbols[j] == ESCAPE ? WIDTH : num_raw;
                if (from_end - *from < num_taken) {
                    is_sound = 0;
                    break;
                }
                to[j] = (VALUE)take(from, num_taken);
                if (symbols[j] != ESCAPE)
                    to[j] |= (VALUE)((VALUE)symbols[j] << (8 * num_raw));
            }
        }
        if (base) {
            const VALUE *from = base + first;
            for (int64_t j = 0; j < num; j++)
                to[j] = (VALUE)(from[j] + NAME(unzigzag)(to[j]));
        } else {
            for (int64_t j = 0; j < num; j++)
                to[j] = NAME(sign_first)(to[j]);
        }
    }
    for (int64_t j = 0; j < lanes; j++)
        is_sound &= states[j] == LOWEST_STATE;
    is_sound &= words == words_end && raw == raw_end && escapes == end;
    return is_sound;
}

#undef BITS
#undef WIDTH
#undef VALUE
#undef NAME
