/* How near texts of a pool are to every text before them: L of each pair, then the mean F and the nearest.

   L by the bit-parallel recurrence of Hyyrö 2004, a text of the pool at a time against LANES texts at once: a bit for
   each word of such a text, so at most 64 words.  A word that none of them holds changes nothing, and all such words
   are one.  Nothing here reads or writes what another thread writes. */

#include "kernel.h"

/* Where the compiler knows no vectors, a vector is one word. */
#ifdef __GNUC__
#define VECTOR(WORD) __attribute__((vector_size(32))) WORD
#else
#define VECTOR(WORD) WORD
#endif

/* On x86 compiled twice, and chosen by the loader: registers of 32 bytes are common there, but not granted. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define WIDEST __attribute__((target_clones("avx2", "default")))
#endif
#endif
#ifndef WIDEST
#define WIDEST
#endif

#define LANES 32 /* texts at once */
#define LEAF 128 /* numpy adds up no more numbers than these one by one */

/* Row `lane` of `lcs`, which are `stride` apart: L of the text of that lane with each of the first `stop`.  `marks`: for
   each of `ids` a word for each lane, with a bit wherever the lane's text has the word of that id; none for id 0. */
#define DEFINE_LCS(NAME, WORD)                                                                                         \
    WIDEST static void NAME(const uint32_t *codes, const int64_t *starts, int64_t stop, const uint16_t *ids,           \
                            const WORD *marks, uint8_t *lcs, int64_t stride) {                                         \
        typedef VECTOR(WORD) Vector;                                                                                   \
        enum { VECTORS = LANES * sizeof(WORD) / sizeof(Vector), BITS = 8 * sizeof(WORD) };                             \
        for (int64_t text = 0; text < stop; text++) {                                                                  \
            Vector unmatched[VECTORS], mark;                                                                           \
            WORD counts[LANES];                                                                                        \
            for (int i = 0; i < VECTORS; i++) unmatched[i] = ~(Vector){0};                                             \
            for (int64_t at = starts[text]; at < starts[text + 1]; at++) {                                             \
                const WORD *found = marks + (int64_t)ids[codes[at]] * LANES;                                           \
                for (int i = 0; i < VECTORS; i++) {                                                                    \
                    memcpy(&mark, found + i * (LANES / VECTORS), sizeof mark);                                         \
                    mark &= unmatched[i];                                                                              \
                    unmatched[i] = (unmatched[i] + mark) | (unmatched[i] - mark);                                      \
                }                                                                                                      \
            }                                                                                                          \
            for (int i = 0; i < VECTORS; i++) { /* count the zeros */                                                  \
                Vector x = ~unmatched[i];                                                                              \
                x -= (x >> 1) & (WORD)UINT64_C(0x5555555555555555);                                                    \
                x = (x & (WORD)UINT64_C(0x3333333333333333)) + ((x >> 2) & (WORD)UINT64_C(0x3333333333333333));        \
                x = (x + (x >> 4)) & (WORD)UINT64_C(0x0f0f0f0f0f0f0f0f);                                               \
                x += x >> 8;                                                                                           \
                if (BITS > 16) x += x >> 16 % BITS;                                                                    \
                if (BITS > 32) x += x >> 32 % BITS;                                                                    \
                memcpy(counts + i * (LANES / VECTORS), &x, sizeof x);                                                  \
            }                                                                                                          \
            for (int lane = 0; lane < LANES; lane++) lcs[lane * stride + text] = (uint8_t)counts[lane];                \
        }                                                                                                              \
    }

DEFINE_LCS(lcs_16, uint16_t)
DEFINE_LCS(lcs_32, uint32_t)
DEFINE_LCS(lcs_64, uint64_t)

/* L of each of up to LANES texts of up to 64 words, by their numbers in `texts`, with each of the first `stop`, in rows
   of `lcs` that are `stop` long: there must be LANES of them.  Codes are below `num_words`.  -1 when memory runs out. */
PUBLIC int scores_lcs(const uint32_t *codes, const int64_t *starts, int64_t num_words, const int64_t *texts,
                      int64_t num_texts, int64_t stop, uint8_t *lcs) {
    int64_t longest = 0, room = 1;
    for (int64_t lane = 0; lane < num_texts; lane++) {
        int64_t length = starts[texts[lane] + 1] - starts[texts[lane]];
        if (length > longest) longest = length;
        room += length;
    }
    size_t size = longest <= 16 ? sizeof(uint16_t) : longest <= 32 ? sizeof(uint32_t) : sizeof(uint64_t);
    uint16_t *ids = calloc((size_t)num_words, sizeof *ids), num_ids = 1;
    unsigned char *marks = calloc((size_t)room, LANES * size);
    if (!ids || !marks) {
        free(ids);
        free(marks);
        return -1;
    }
    for (int64_t lane = 0; lane < num_texts; lane++) {
        const uint32_t *words = codes + starts[texts[lane]];
        int64_t length = starts[texts[lane] + 1] - starts[texts[lane]];
        for (int64_t at = 0; at < length; at++) {
            uint16_t *id = ids + words[at];
            if (!*id) *id = num_ids++;
            int64_t place = (int64_t)*id * LANES + lane;
            if (size == sizeof(uint16_t)) ((uint16_t *)marks)[place] |= (uint16_t)(1u << at);
            else if (size == sizeof(uint32_t)) ((uint32_t *)marks)[place] |= UINT32_C(1) << at;
            else ((uint64_t *)marks)[place] |= UINT64_C(1) << at;
        }
    }
    if (size == sizeof(uint16_t)) lcs_16(codes, starts, stop, ids, (const uint16_t *)marks, lcs, stop);
    else if (size == sizeof(uint32_t)) lcs_32(codes, starts, stop, ids, (const uint32_t *)marks, lcs, stop);
    else lcs_64(codes, starts, stop, ids, (const uint64_t *)marks, lcs, stop);
    free(ids);
    free(marks);
    return 0;
}

/* The largest scores so far, largest first, the earlier of equals first. */
typedef struct {
    int64_t *numbers;
    double *scores;
    int64_t room, count;
    double least; /* what is no larger is not wanted */
} Nearest;

static void insert(Nearest *nearest, int64_t number, double score) {
    int64_t place = nearest->count < nearest->room ? nearest->count++ : nearest->room - 1;
    for (; place > 0 && nearest->scores[place - 1] < score; place--) {
        nearest->numbers[place] = nearest->numbers[place - 1];
        nearest->scores[place] = nearest->scores[place - 1];
    }
    nearest->numbers[place] = number;
    nearest->scores[place] = score;
    if (nearest->count == nearest->room) nearest->least = nearest->scores[nearest->room - 1];
}

/* The sum of the scores from `begin` on, added up in the order in which numpy does it. */
static double sum(const uint8_t *lcs, const uint32_t *kinds, const double *table, int64_t num_kinds, int64_t begin,
                  int64_t count, Nearest *nearest) {
    if (count > LEAF) {
        int64_t half = count / 2 - count / 2 % 8;
        double left = sum(lcs, kinds, table, num_kinds, begin, half, nearest);
        return left + sum(lcs, kinds, table, num_kinds, begin + half, count - half, nearest);
    }
    double scores[LEAF], sums[8], total = 0;
    for (int64_t i = 0; i < count; i++) {
        scores[i] = table[lcs[begin + i] * num_kinds + kinds[begin + i]];
        if (scores[i] > nearest->least) insert(nearest, begin + i, scores[i]);
    }
    int64_t at = 0;
    if (count >= 8) {
        memcpy(sums, scores, sizeof sums);
        for (at = 8; at < count - count % 8; at += 8)
            for (int i = 0; i < 8; i++) sums[i] += scores[at + i];
        total = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    }
    for (; at < count; at++) total += scores[at];
    return total;
}

/* For each of `num_texts` texts of up to 64 words, by their numbers in `texts`: the mean F with all before it (0.0 for
   the first text), and the `room` nearest of these, or as many as there are, in its row of `numbers` and `scores`.  L
   stands in rows of `lcs`, `stride` apart.  F of a text of m words is in `table`, behind those of fewer words, at
   L * num_kinds + kind, where `kinds` says for each text which of `num_kinds` lengths it has. */
PUBLIC void scores_nearest(const uint8_t *lcs, int64_t stride, const int64_t *starts, const int64_t *texts,
                           int64_t num_texts, const uint32_t *kinds, const double *table, int64_t num_kinds,
                           int64_t room, int64_t *numbers, double *scores, double *means) {
    for (int64_t lane = 0; lane < num_texts; lane++) {
        int64_t text = texts[lane], length = starts[text + 1] - starts[text];
        Nearest nearest = {numbers + lane * room, scores + lane * room, room, 0, room ? -1.0 : 2.0};
        double total = sum(lcs + lane * stride, kinds, table + length * (length + 1) / 2 * num_kinds, num_kinds, 0, text,
                           &nearest);
        means[lane] = text ? total / (double)text : 0.0;
    }
}
