/* The part of coder.c that depends on the width of a value; included once for each, and again for wider vectors. */

#define BITS (8 * WIDTH)
#define NAME_OF_(function, width) NAME_OF(function, width)
#define NAME(function) NAME_OF_(function, WIDTH)

TARGET static inline VALUE NAME(zigzag)(VALUE d) { return (VALUE)((VALUE)(d << 1) ^ (VALUE)-(VALUE)(d >> (BITS - 1))); }
TARGET static inline VALUE NAME(unzigzag)(VALUE v) { return (VALUE)((v >> 1) ^ (VALUE)-(VALUE)(v & 1)); }
TARGET static inline VALUE NAME(sign_last)(VALUE t) { return (VALUE)((VALUE)(t << 1) | (t >> (BITS - 1))); }
TARGET static inline VALUE NAME(sign_first)(VALUE v) { return (VALUE)((v >> 1) | (VALUE)(v << (BITS - 1))); }

TARGET APART static void NAME(find_values)(const VALUE *restrict tuned, const VALUE *restrict base, int64_t n,
                                           VALUE *restrict values)
{
    if (base)
        for (int64_t i = 0; i < n; i++)
            values[i] = NAME(zigzag)((VALUE)(tuned[i] - base[i]));
    else
        for (int64_t i = 0; i < n; i++)
            values[i] = NAME(sign_last)(tuned[i]);
}

/* An exponent has at most 16 bits. */
TARGET APART static void NAME(find_contexts)(const VALUE *restrict base, int64_t n, int shift, uint16_t mask,
                                             uint16_t top, uint16_t *restrict contexts)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t below = (uint16_t)(top - ((uint16_t)(base[i] >> shift) & mask));
        contexts[i] = below < NUM_CONTEXTS ? below : NUM_CONTEXTS - 1;
    }
}

TARGET APART static void NAME(find_keys)(const VALUE *restrict values, int64_t n, const uint16_t *restrict contexts,
                                         const uint16_t *restrict firsts, uint16_t *restrict keys)
{
    uint16_t first[WIDTH];
    for (int k = 0; k < WIDTH; k++)
        first[k] = firsts[k];
    for (int64_t i = 0; i < n; i++) {
        VALUE v = values[i];
        for (int k = 0; k < WIDTH - 1; k++) { /* written without a condition, with which gcc makes no vectors of it */
            VALUE is_raw = (VALUE)-(VALUE)(contexts[i] >= first[k]);
            v = (VALUE)((v & ~is_raw) | (v >> 8 & is_raw));
        }
        keys[i] = (uint16_t)(contexts[i] << 8 | (v < ESCAPE ? v : ESCAPE));
    }
}

/* How many bytes of a value stand outside its symbol. */
TARGET APART static void NAME(find_lengths)(const uint16_t *restrict keys, int64_t n, const uint16_t *restrict firsts,
                                            uint8_t *restrict lengths)
{
    uint16_t first[WIDTH];
    for (int k = 0; k < WIDTH; k++)
        first[k] = (uint16_t)(firsts[k] << 8);
    for (int64_t i = 0; i < n; i++) {
        uint16_t length = 0;
        for (int k = 0; k < WIDTH - 1; k++)
            length = (uint16_t)(length + (keys[i] >= first[k]));
        lengths[i] = (uint8_t)((keys[i] & ESCAPE) == ESCAPE ? WIDTH : length);
    }
}

/* How many bytes are kept raw: the fewest with which, of a sample, at most a value in 32 is kept whole; never fewer than
   in the context before, since the smaller a number, the larger the same difference is to it. */
TARGET APART static void NAME(choose_raw)(const VALUE *tuned, const VALUE *base, int64_t n, int shift, uint16_t mask,
                                          uint16_t top, uint8_t *num_raw)
{
    uint64_t large[NUM_CONTEXTS][WIDTH] = {{0}}, sampled[NUM_CONTEXTS] = {0};
    for (int64_t i = 0; i < n; i += SAMPLE_STEP) {
        VALUE value;
        uint16_t context = 0;
        NAME(find_values)(tuned + i, base ? base + i : NULL, 1, &value);
        if (mask)
            NAME(find_contexts)(base + i, 1, shift, mask, top, &context);
        sampled[context]++;
        for (int k = 0; k < WIDTH; k++)
            large[context][k] += value >> (8 * k) >= ESCAPE;
    }
    int raw = 0;
    for (int c = 0; c < NUM_CONTEXTS; c++) {
        while (raw < WIDTH - 1 && large[c][raw] * 32 > sampled[c])
            raw++;
        num_raw[c] = (uint8_t)raw;
    }
}

/* From the last symbol to the first; words are written from `end` downwards.  Returns where they begin. */
TARGET static uint16_t *NAME(encode_symbols)(Encoder *e, int64_t n, int64_t lanes, uint16_t *end)
{
    for (int64_t j = 0; j < lanes; j++)
        e->states[j] = LOWEST_STATE;
    for (int64_t i = n; i > 0;) {
        int64_t first = (i - 1) / lanes * lanes;
        for (; i > first; i--) {
            const Encoding *encoding = &e->encodings[e->keys[i - 1]];
            uint32_t x = e->states[i - 1 - first];
            uint32_t is_full = (x >> 16) >= encoding->limit_high;
            end[-1] = (uint16_t)x; /* counts only if the state is full */
            end -= is_full;
            x >>= is_full << 4;
            uint32_t quotient = (uint32_t)(((uint64_t)x * encoding->reciprocal) >> 44);
            e->states[i - 1 - first] = x + encoding->start + quotient * encoding->complement;
        }
    }
    return end;
}

TARGET static int64_t NAME(encode)(const void *tuned_values, const void *base_values, int64_t n, int shift, uint16_t mask,
                                   Encoder *e, uint8_t *out)
{
    const VALUE *tuned = tuned_values, *base = base_values;
    VALUE *values = (VALUE *)e->values;
    e->keys = (uint16_t *)(e + 1);
    e->words = e->keys + n;
    mask = base ? mask : 0;
    uint16_t top = 0;
    for (int64_t i = 0; mask && i < n; i++) {
        uint16_t exponent = (uint16_t)(base[i] >> shift) & mask;
        top = exponent > top ? exponent : top;
    }
    uint8_t num_raw[NUM_CONTEXTS];
    uint16_t firsts[WIDTH];
    NAME(choose_raw)(tuned, base, n, shift, mask, top, num_raw);
    find_firsts(num_raw, WIDTH, firsts);

    memset(e->counts, 0, sizeof e->counts);
    memset(e->contexts, 0, sizeof e->contexts);
    for (int64_t i = 0; i < n; i += MAX_LANES) {
        int64_t num = n - i < MAX_LANES ? n - i : MAX_LANES;
        NAME(find_values)(tuned + i, base ? base + i : NULL, num, values);
        if (mask)
            NAME(find_contexts)(base + i, num, shift, mask, top, e->contexts);
        NAME(find_keys)(values, num, e->contexts, firsts, e->keys + i);
        count_keys(e, e->keys + i, num);
    }

    uint8_t *at = out + HEADER_BYTES;
    uint32_t coded = 0;
    for (int c = 0; c < NUM_CONTEXTS; c++) {
        uint32_t counts[NUM_SYMBOLS];
        uint64_t total = 0;
        for (int s = 0; s < NUM_SYMBOLS; s++) {
            int key = c << 8 | s;
            counts[s] = e->counts[0][key] + e->counts[1][key] + e->counts[2][key] + e->counts[3][key];
            total += counts[s];
        }
        uint16_t frequencies[NUM_SYMBOLS] = {TOTAL};
        if (counts[0] < total) {
            coded |= 1u << c;
            normalise(counts, total, frequencies);
            put_table(&at, frequencies);
        }
        fill_encodings(frequencies, e->encodings + (c << 8));
    }

    int64_t lanes = num_lanes(n);
    uint16_t *end = e->words + n + 1, *word = NAME(encode_symbols)(e, n, lanes, end);
    memcpy(at, e->states, (size_t)lanes * 4);
    at += lanes * 4;
    memcpy(at, word, (size_t)(end - word) * 2);
    at += (end - word) * 2;

    for (int64_t i = 0; i < n; i += MAX_LANES) {
        int64_t num = n - i < MAX_LANES ? n - i : MAX_LANES;
        NAME(find_values)(tuned + i, base ? base + i : NULL, num, values);
        NAME(find_lengths)(e->keys + i, num, firsts, e->lengths);
        int64_t num_groups = find_groups(e->lengths, num, e->groups);
        for (int64_t g = 0; g < num_groups; g++) {
            int64_t group = e->groups[g], group_end = num - group < GROUP ? num : group + GROUP;
            for (int64_t j = group; j < group_end; j++) {
                memcpy(at, values + j, WIDTH);
                at += e->lengths[j];
            }
        }
    }
    uint8_t *header = out;
    put(&header, top, 2);
    put(&header, coded, 2);
    put(&header, (uint64_t)(end - word), 4);
    memcpy(header, num_raw, sizeof num_raw);
    return at - out;
}

/* A row of symbols; leaves states that may be low. */
TARGET APART static void NAME(decode_symbols)(const uint32_t *restrict slots, const uint16_t *restrict contexts,
                                              int64_t n, uint32_t *restrict states, uint16_t *restrict keys)
{
    for (int64_t j = 0; j < n; j++) {
        uint32_t x = states[j], slot = slots[(uint32_t)contexts[j] << PROBABILITY_BITS | (x & (TOTAL - 1))];
        states[j] = ((slot >> 20) + 1) * (x >> PROBABILITY_BITS) + (slot >> 8 & (TOTAL - 1));
        keys[j] = (uint16_t)(contexts[j] << 8 | (slot & ESCAPE));
    }
}

/* Low states take a word; returns the end of the words taken.  Reads, but may not use, one a lane. */
TARGET static const uint8_t *NAME(fill_states)(uint32_t *states, int64_t n, const uint8_t *words)
{
    for (int64_t j = 0; j < n; j++) {
        uint16_t word;
        memcpy(&word, words, 2);
        uint32_t is_low = -(uint32_t)(states[j] < LOWEST_STATE); /* all ones or none: no branch to guess */
        states[j] = states[j] << (is_low & 16) | (word & is_low);
        words += is_low & 2;
    }
    return words;
}

/* Completes `values`, which are symbols, with the bytes outside them; returns their end.  Reads, but may not use, WIDTH
   bytes a value. */
TARGET static const uint8_t *NAME(add_extra)(VALUE *values, const uint8_t *lengths, int64_t n, const uint8_t *extra)
{
    for (int64_t j = 0; j < n; j++) {
        int raw_bits = 8 * (lengths[j] & 7); /* of no account for a value kept whole */
        VALUE whole, above = (VALUE)((uint64_t)values[j] << raw_bits);
        memcpy(&whole, extra, WIDTH);
        VALUE raw = (VALUE)(whole & (((uint64_t)1 << raw_bits) - 1));
        values[j] = lengths[j] == WIDTH ? whole : (VALUE)(above | raw);
        extra += lengths[j];
    }
    return extra;
}

TARGET static int64_t NAME(decode)(const uint8_t *block, int64_t num_bytes, const void *base_values, int64_t n, int shift,
                                   uint16_t mask, Decoder *d, void *tuned_values)
{
    const VALUE *base = base_values;
    VALUE *tuned = tuned_values;
    const uint8_t *at = block, *end = block + num_bytes;
    if (num_bytes < HEADER_BYTES)
        return 0;
    uint16_t top = (uint16_t)take(&at, 2), firsts[WIDTH];
    uint32_t coded = (uint32_t)take(&at, 2);
    int64_t lanes = num_lanes(n), num_words = (int64_t)take(&at, 4);
    if (!find_firsts(at, WIDTH, firsts))
        return 0;
    at += NUM_CONTEXTS;
    for (int c = 0; c < NUM_CONTEXTS; c++) {
        if (!(coded >> c & 1))
            fill_slots(d->slots + c * TOTAL, 0, TOTAL);
        else if (!take_table(d->slots + c * TOTAL, &at, end))
            return 0;
    }
    if (end - at < 4 * lanes + 2 * num_words)
        return 0;
    memcpy(d->states, at, (size_t)lanes * 4);
    const uint8_t *words = at + 4 * lanes, *words_end = words + 2 * num_words, *extra = words_end;
    memset(d->contexts, 0, sizeof d->contexts);
    for (int64_t first = 0; first < n; first += lanes) {
        int64_t num = n - first < lanes ? n - first : lanes;
        VALUE *to = tuned + first;
        if (base && mask)
            NAME(find_contexts)(base + first, num, shift, mask, top, d->contexts);
        NAME(decode_symbols)(d->slots, d->contexts, num, d->states, d->keys);
        int64_t left = words_end - words;
        if (left < 2 * num) { /* more may be read than there is: of a copy */
            memset(d->last_words, 0, sizeof d->last_words);
            memcpy(d->last_words, words, (size_t)left);
            const uint8_t *last_words = (const uint8_t *)d->last_words;
            int64_t taken = NAME(fill_states)(d->states, num, last_words) - last_words;
            if (taken > left)
                return 0;
            words += taken;
        } else {
            words = NAME(fill_states)(d->states, num, words);
        }

        for (int64_t j = 0; j < num; j++)
            to[j] = (VALUE)(d->keys[j] & ESCAPE);
        NAME(find_lengths)(d->keys, num, firsts, d->lengths);
        int64_t num_groups = find_groups(d->lengths, num, d->groups);
        for (int64_t g = 0; g < num_groups; g++) {
            int64_t group = d->groups[g], size = num - group < GROUP ? num - group : GROUP;
            left = end - extra;
            if (left < GROUP * WIDTH) {
                uint8_t last_extra[GROUP * WIDTH] = {0};
                memcpy(last_extra, extra, (size_t)left);
                int64_t taken = NAME(add_extra)(to + group, d->lengths + group, size, last_extra) - last_extra;
                if (taken > left)
                    return 0;
                extra += taken;
            } else {
                extra = NAME(add_extra)(to + group, d->lengths + group, size, extra);
            }
        }
        if (base)
            for (int64_t j = 0; j < num; j++)
                to[j] = (VALUE)(base[first + j] + NAME(unzigzag)(to[j]));
        else
            for (int64_t j = 0; j < num; j++)
                to[j] = NAME(sign_first)(to[j]);
    }
    for (int64_t j = 0; j < lanes; j++)
        if (d->states[j] != LOWEST_STATE)
            return 0;
    return words == words_end && extra == end;
}

#undef BITS
#undef WIDTH
#undef VALUE
#undef NAME
#undef NAME_OF_
