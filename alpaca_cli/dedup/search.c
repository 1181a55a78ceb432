/* The inner loop of the similarity join: which rows of an index a row is near to.

   Everything here is exact.  What is skipped is skipped by a bound that no pair over the threshold can miss:

   - m, n words, L the length of the longest common subsequence: F > t demands L >= least(m, n).
   - Prefix (Chaudhuri et al. 2006; Bayardo et al. 2007): sort each row's words rare first.  If two rows have L words in
     common, the rarest common one is among the first m - L + 1 of the one and the first n - L + 1 of the other.  A row
     is filed under these words only, and looked for under these words only.
   - Position (Xiao et al. 2008): what is in common begins at that word, so L <= min(what is left of each).  Of a word
     that many rows have, the rows are filed by their length: those too long or too short are not looked at.
   - Bag: a row's words set bits in a word of 64 and one of 256; each bit set here and not there is a word not shared.
   - What is left is counted by the bit-parallel LCS of Hyyrö 2004, 64 words of a row at once; of a long row only the
     blocks of 64 words in which the other's word stands, and those into which it carries.

   Threads: any number of queries may run at once, each with a Scratch of its own, while nothing is added.
   Memory: linear in the words of the rows that were added, and a Scratch in those of the longest row that asked.
   A function that returns int returns -1 when memory runs out; a row is then added whole or not at all. */

#include "kernel.h"

#include <float.h>

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0
#error "F must be rounded to double at every step, as rouge_score's is"
#endif

#define LONG_ROW UINT16_MAX /* a posting's lengths end here: longer ones are looked up */
#define TABLE 512           /* least(m, n) is kept for m, n below this */
#define WIDE 4              /* words of 64 bits of the second bag */
#define MANY 32             /* rows under a word, from which on they are filed by length */
#define CLASSES 64          /* of length: one for each below 8, then eight from a power of two to the next */

static unsigned ones(uint64_t x) {
#if defined(__POPCNT__) || defined(__aarch64__)
    return (unsigned)__builtin_popcountll(x);
#else
    x -= (x >> 1) & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) + ((x >> 2) & UINT64_C(0x3333333333333333));
    x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (unsigned)((x * UINT64_C(0x0101010101010101)) >> 56);
#endif
}

/* ---- the score ---- */

/* In this order: at a tie the rounding decides. */
static double f_measure(uint64_t lcs, uint64_t m, uint64_t n) {
    if (!lcs) return 0.0;
    double precision = (double)lcs / (double)m, recall = (double)lcs / (double)n;
    return 2 * precision * recall / (precision + recall);
}

/* The smallest L with F(L, m, n) > t; more than m or n if there is none. */
static uint64_t least_common(double t, uint64_t m, uint64_t n) {
    uint64_t most = m < n ? m : n;
    uint64_t lcs = (uint64_t)(t * (double)(m + n) / 2);
    if (lcs < 1) lcs = 1;
    while (lcs > 1 && f_measure(lcs - 1, m, n) > t) lcs--;
    while (lcs <= most && !(f_measure(lcs, m, n) > t)) lcs++;
    return lcs;
}

/* The smallest L with which m words may be over t, whatever n: the other is then nothing but these L words. */
static uint64_t least_of_any(double t, uint64_t m) {
    uint64_t lcs = (uint64_t)(t * (double)m / (2 - t));
    if (lcs < 1) lcs = 1;
    while (lcs > 1 && f_measure(lcs - 1, m, lcs - 1) > t) lcs--;
    while (lcs <= m && !(f_measure(lcs, m, lcs) > t)) lcs++;
    return lcs;
}

/* ---- the index ---- */

typedef struct {
    uint64_t bag;
    uint32_t row;
    uint16_t length; /* of the row, up to LONG_ROW */
    uint16_t rest;   /* words of it, rare first, from this one to the last, up to LONG_ROW */
} Posting;

typedef struct List {
    Posting *postings; /* rows ascending */
    uint32_t count, room;
    struct List *by_class; /* CLASSES lists instead of postings, or NULL */
} List;

typedef struct {
    double threshold;
    uint64_t part, parts;
    uint64_t *codes, *starts; /* words of the rows in order of their text */
    uint64_t (*wide)[WIDE];
    uint64_t num_rows, codes_room, starts_room, wide_room;
    uint64_t *keys; /* hash table: word and its list, NONE where empty */
    uint32_t *list_of;
    uint64_t num_slots;
    List *lists;
    uint64_t num_lists, lists_room;
    uint64_t num_bytes; /* of all postings */
} Index;

typedef struct {
    uint64_t mask; /* where in this block of 64 places of the queried row a word stands, a bit a place */
    uint32_t block;
    uint32_t next; /* in `places`: the word's next block; NONE behind its last */
} Places;

typedef struct {
    uint32_t *stamps; /* the query that last looked at a row */
    uint64_t stamps_room;
    uint32_t stamp;
    uint64_t *sorted;
    uint64_t sorted_room;
    uint16_t *least[TABLE]; /* by m, then n */
    uint64_t *keys;         /* hash table of the words of the queried row */
    uint32_t *counts;       /* how often each of them stands there, 0 in an empty slot */
    uint32_t *seen;
    Places *places; /* the first of each slot, and behind the slots the others */
    uint64_t *state;
    uint64_t keys_room, counts_room, seen_room, places_room, state_room;
    uint64_t num_slots, num_blocks;
    unsigned shift;
    uint64_t *hits; /* rows over the threshold, ascending */
    uint64_t hits_room, num_hits;
    uint64_t counted; /* pairs whose L was counted, in all queries */
} Scratch;

static int belongs(uint64_t code, uint64_t part, uint64_t parts) { return parts == 1 || mix(code) % parts == part; }

static int compare_codes(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void sort_codes(uint64_t *codes, uint64_t count) {
    if (count > 64) {
        qsort(codes, count, sizeof *codes, compare_codes);
        return;
    }
    for (uint64_t i = 1; i < count; i++) {
        uint64_t code = codes[i], j = i;
        for (; j > 0 && codes[j - 1] > code; j--) codes[j] = codes[j - 1];
        codes[j] = code;
    }
}

static uint64_t bags_of(const uint64_t *codes, uint64_t count, uint64_t wide[WIDE]) {
    uint64_t bag = 0;
    memset(wide, 0, WIDE * sizeof *wide);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t hash = mix(codes[i]);
        bag |= UINT64_C(1) << (hash & 63);
        wide[(hash >> 6) & (WIDE - 1)] |= UINT64_C(1) << ((hash >> 16) & 63);
    }
    return bag;
}

PUBLIC void index_free(Index *x) {
    if (!x) return;
    for (uint64_t i = 0; i < x->num_lists; i++) {
        free(x->lists[i].postings);
        for (int c = 0; x->lists[i].by_class && c < CLASSES; c++) free(x->lists[i].by_class[c].postings);
        free(x->lists[i].by_class);
    }
    free(x->lists);
    free(x->keys);
    free(x->list_of);
    free(x->codes);
    free(x->starts);
    free(x->wide);
    free(x);
}

PUBLIC Index *index_new(double threshold, uint64_t part, uint64_t parts) {
    Index *x = calloc(1, sizeof *x);
    if (!x) return NULL;
    x->threshold = threshold;
    x->part = part;
    x->parts = parts;
    x->num_slots = 1 << 10;
    x->keys = malloc(x->num_slots * sizeof *x->keys);
    x->list_of = malloc(x->num_slots * sizeof *x->list_of);
    if (!x->keys || !x->list_of || reserve((void **)&x->starts, &x->starts_room, 1, sizeof *x->starts)) {
        index_free(x);
        return NULL;
    }
    memset(x->list_of, 0xff, x->num_slots * sizeof *x->list_of);
    x->starts[0] = 0;
    return x;
}

PUBLIC void scratch_free(Scratch *s) {
    if (!s) return;
    for (int i = 0; i < TABLE; i++) free(s->least[i]);
    free(s->stamps);
    free(s->sorted);
    free(s->keys);
    free(s->counts);
    free(s->seen);
    free(s->places);
    free(s->state);
    free(s->hits);
    free(s);
}

PUBLIC Scratch *scratch_new(void) { return calloc(1, sizeof(Scratch)); }

PUBLIC uint64_t scratch_counted(const Scratch *s) { return s->counted; }

/* The slot of a word, or the empty one where it would stand. */
static uint64_t slot_of(const Index *x, uint64_t code) {
    uint64_t slot = mix(code) & (x->num_slots - 1);
    while (x->list_of[slot] != NONE && x->keys[slot] != code) slot = (slot + 1) & (x->num_slots - 1);
    return slot;
}

static int index_grow(Index *x) {
    Index grown = *x;
    grown.num_slots *= 4;
    grown.keys = malloc(grown.num_slots * sizeof *grown.keys);
    grown.list_of = malloc(grown.num_slots * sizeof *grown.list_of);
    if (!grown.keys || !grown.list_of) {
        free(grown.keys);
        free(grown.list_of);
        return -1;
    }
    memset(grown.list_of, 0xff, grown.num_slots * sizeof *grown.list_of);
    for (uint64_t i = 0; i < x->num_slots; i++) {
        if (x->list_of[i] == NONE) continue;
        uint64_t slot = slot_of(&grown, x->keys[i]);
        grown.keys[slot] = x->keys[i];
        grown.list_of[slot] = x->list_of[i];
    }
    free(x->keys);
    free(x->list_of);
    *x = grown;
    return 0;
}

/* Ascending with n; lengths of LONG_ROW and more are all of the last class. */
static int class_of(uint64_t n) {
    if (n < 8) return (int)n;
    int power = 3;
    while (power < 10 && n >> (power + 1)) power++;
    if (n >> (power + 1)) return CLASSES - 1;
    int class = 8 + (power - 3) * 8 + (int)((n - (UINT64_C(1) << power)) >> (power - 3));
    return class < CLASSES ? class : CLASSES - 1;
}

static int append(Index *x, List *list, Posting posting) {
    if (list->count == list->room) {
        uint64_t room = list->room + (uint64_t)list->room / 2 + 1;
        if (room > NONE) room = NONE; /* there are less rows than that */
        Posting *grown = resized(list->postings, room, sizeof *grown);
        if (!grown) return -1;
        x->num_bytes += (room - list->room) * sizeof *grown;
        list->postings = grown;
        list->room = (uint32_t)room;
    }
    list->postings[list->count++] = posting;
    return 0;
}

static int split_by_class(Index *x, List *list) {
    uint64_t num_bytes = x->num_bytes;
    List *by_class = calloc(CLASSES, sizeof *by_class);
    if (!by_class) return -1;
    for (uint32_t i = 0; i < list->count; i++)
        if (append(x, &by_class[class_of(list->postings[i].length)], list->postings[i])) {
            for (int c = 0; c < CLASSES; c++) free(by_class[c].postings);
            free(by_class);
            x->num_bytes = num_bytes;
            return -1;
        }
    free(list->postings);
    x->num_bytes += CLASSES * sizeof *by_class;
    x->num_bytes -= list->room * sizeof *list->postings;
    *list = (List){NULL, 0, 0, by_class};
    return 0;
}

static int file_under(Index *x, uint64_t code, Posting posting) {
    if ((x->num_lists + 1) * 2 > x->num_slots && index_grow(x)) return -1;
    uint64_t slot = slot_of(x, code);
    if (x->list_of[slot] == NONE) {
        if (x->num_lists == NONE - 1 ||
            reserve((void **)&x->lists, &x->lists_room, x->num_lists + 1, sizeof *x->lists))
            return -1;
        memset(&x->lists[x->num_lists], 0, sizeof *x->lists);
        x->keys[slot] = code;
        x->list_of[slot] = (uint32_t)x->num_lists++;
    }
    List *list = &x->lists[x->list_of[slot]];
    if (list->count == MANY && split_by_class(x, list)) return -1;
    return append(x, list->by_class ? &list->by_class[class_of(posting.length)] : list, posting);
}

/* Undoes file_under for the row that was to be the next; nothing where it was not filed under the word. */
static void take_back(Index *x, uint64_t code, uint64_t length) {
    uint32_t number = x->list_of[slot_of(x, code)];
    if (number == NONE) return;
    List *list = &x->lists[number];
    if (list->by_class) list = &list->by_class[class_of(length)];
    if (list->count && list->postings[list->count - 1].row == x->num_rows) list->count--;
}

/* The row's words, rare first; how many of them are its prefix is returned, 0 if it can be over the threshold with no
   row, and -1 when memory runs out. */
static int64_t sort_row(double threshold, Scratch *s, const uint64_t *codes, uint64_t m) {
    uint64_t least = least_of_any(threshold, m);
    if (!m || least > m) return 0;
    if (reserve((void **)&s->sorted, &s->sorted_room, m, sizeof *s->sorted)) return -1;
    memcpy(s->sorted, codes, m * sizeof *codes);
    sort_codes(s->sorted, m);
    return (int64_t)(m - least + 1);
}

static uint16_t clipped(uint64_t length) { return length < LONG_ROW ? (uint16_t)length : LONG_ROW; }

static int add_row(Index *x, Scratch *s, const uint64_t *codes, uint64_t m) {
    int64_t prefix = sort_row(x->threshold, s, codes, m);
    if (prefix < 0 || x->num_rows == NONE - 1) return -1;
    uint64_t end = x->starts[x->num_rows] + m;
    if (reserve((void **)&x->codes, &x->codes_room, end, sizeof *x->codes) ||
        reserve((void **)&x->starts, &x->starts_room, x->num_rows + 2, sizeof *x->starts) ||
        reserve((void **)&x->wide, &x->wide_room, x->num_rows + 1, sizeof *x->wide))
        return -1;
    if (m) memcpy(x->codes + x->starts[x->num_rows], codes, m * sizeof *codes);
    Posting posting = {bags_of(codes, m, x->wide[x->num_rows]), (uint32_t)x->num_rows, clipped(m), 0};
    for (int64_t i = 0; i < prefix; i++) {
        uint64_t code = s->sorted[i];
        if ((i && s->sorted[i - 1] == code) || !belongs(code, x->part, x->parts)) continue;
        posting.rest = clipped(m - (uint64_t)i);
        if (file_under(x, code, posting)) {
            while (i-- > 0) take_back(x, s->sorted[i], m);
            return -1;
        }
    }
    x->starts[++x->num_rows] = end;
    return 0;
}

/* ---- the longest common subsequence of the queried row with one of the index ---- */

static int64_t find_word(const Scratch *s, uint64_t code) {
    uint64_t slot = (code * UINT64_C(0x9e3779b97f4a7c15)) >> s->shift;
    for (; s->counts[slot]; slot = (slot + 1) & (s->num_slots - 1))
        if (s->keys[slot] == code) return (int64_t)slot;
    return -1;
}

static int table_of(Scratch *s, const uint64_t *codes, uint64_t m) {
    if (m > NONE / 8) return -1; /* `places` are numbered in 32 bits */
    unsigned bits = 3;
    while ((UINT64_C(1) << bits) < 2 * m) bits++;
    s->num_slots = UINT64_C(1) << bits;
    s->shift = 64 - bits;
    s->num_blocks = (m + 63) / 64;
    if (reserve((void **)&s->keys, &s->keys_room, s->num_slots, sizeof *s->keys) ||
        reserve((void **)&s->counts, &s->counts_room, s->num_slots, sizeof *s->counts) ||
        reserve((void **)&s->seen, &s->seen_room, s->num_slots, sizeof *s->seen) ||
        reserve((void **)&s->places, &s->places_room, s->num_slots + m, sizeof *s->places) ||
        reserve((void **)&s->state, &s->state_room, s->num_blocks, sizeof *s->state))
        return -1;
    memset(s->counts, 0, s->num_slots * sizeof *s->counts);
    memset(s->seen, 0, s->num_slots * sizeof *s->seen);
    uint32_t unused = (uint32_t)s->num_slots;
    for (uint64_t i = m; i-- > 0;) { /* backwards: the first block is met last */
        uint64_t slot = (codes[i] * UINT64_C(0x9e3779b97f4a7c15)) >> s->shift;
        while (s->counts[slot] && s->keys[slot] != codes[i]) slot = (slot + 1) & (s->num_slots - 1);
        Places *first = &s->places[slot];
        uint32_t block = (uint32_t)(i / 64);
        if (!s->counts[slot]++) {
            s->keys[slot] = codes[i];
            *first = (Places){0, block, NONE};
        } else if (first->block != block) {
            s->places[unused] = *first;
            *first = (Places){0, block, unused++};
        }
        first->mask |= UINT64_C(1) << (i % 64);
    }
    return 0;
}

/* How many words both have, whatever their order: no less than L. */
static uint64_t common_words(Scratch *s, const uint64_t *codes, uint64_t n) {
    uint64_t common = 0;
    for (uint64_t i = 0; i < n; i++) {
        int64_t slot = find_word(s, codes[i]);
        if (slot >= 0 && s->seen[slot] < s->counts[slot]) {
            s->seen[slot]++;
            common++;
        }
    }
    for (uint64_t i = 0; i < n; i++) {
        int64_t slot = find_word(s, codes[i]);
        if (slot >= 0) s->seen[slot] = 0;
    }
    return common;
}

static uint64_t lcs_with(const Scratch *s, uint64_t m, const uint64_t *codes, uint64_t n) {
    uint64_t lcs = 0, blocks = s->num_blocks;
    if (blocks == 1) {
        uint64_t state = ~UINT64_C(0);
        for (uint64_t i = 0; i < n; i++) {
            int64_t slot = find_word(s, codes[i]);
            if (slot < 0) continue;
            uint64_t met = state & s->places[slot].mask;
            state = (state + met) | (state - met);
        }
        return ones(m == 64 ? ~state : ~state & ((UINT64_C(1) << m) - 1));
    }
    memset(s->state, 0xff, blocks * sizeof *s->state);
    for (uint64_t i = 0; i < n; i++) {
        int64_t slot = find_word(s, codes[i]);
        if (slot < 0) continue;
        uint64_t carry = 0;
        for (const Places *p = &s->places[slot]; p;) {
            uint64_t b = p->block, state = s->state[b], met = state & p->mask;
            uint64_t sum = state + carry;
            carry = sum < carry;
            sum += met;
            carry |= sum < met;
            s->state[b] = sum | (state - met);
            p = p->next == NONE ? NULL : &s->places[p->next];
            for (uint64_t end = p ? p->block : blocks; ++b < end && carry;) { /* here the word does not stand */
                carry = s->state[b] == UINT64_MAX;
                s->state[b] |= s->state[b] + 1;
            }
        }
    }
    for (uint64_t b = 0; b < blocks; b++) {
        uint64_t left = m - b * 64;
        lcs += ones(left >= 64 ? ~s->state[b] : ~s->state[b] & ((UINT64_C(1) << left) - 1));
    }
    return lcs;
}

/* ---- queries ---- */

enum { ANY, BEST, LOWEST };

typedef struct {
    int kind;
    uint32_t from, before; /* only rows from `from` to below `before` */
    uint64_t limit;        /* of LOWEST */
    uint64_t number;       /* of BEST */
    double score;
} Query;

static int new_stamp(Scratch *s, uint64_t num_rows) {
    if (num_rows > s->stamps_room) {
        uint64_t before = s->stamps_room;
        if (reserve((void **)&s->stamps, &s->stamps_room, num_rows, sizeof *s->stamps)) return -1;
        memset(s->stamps + before, 0, (s->stamps_room - before) * sizeof *s->stamps);
    }
    if (++s->stamp == 0) {
        memset(s->stamps, 0, s->stamps_room * sizeof *s->stamps);
        s->stamp = 1;
    }
    return 0;
}

/* least(m, n) for all n below TABLE; none at all is told by a number that no row reaches. */
static const uint16_t *least_for(Scratch *s, double threshold, uint64_t m) {
    if (m >= TABLE) return NULL;
    if (!s->least[m] && (s->least[m] = malloc(TABLE * sizeof **s->least)))
        for (uint64_t n = 0; n < TABLE; n++) {
            uint64_t least = least_common(threshold, m, n);
            s->least[m][n] = least > m || least > n ? LONG_ROW : (uint16_t)least;
        }
    return s->least[m];
}

/* Takes a row over the threshold into the answer; 1 if no other row is wanted. */
static int take(Query *q, Scratch *s, uint32_t row, double score) {
    if (q->kind == ANY) {
        q->number = row;
        q->score = score;
        return 1;
    }
    if (q->kind == BEST) {
        if (score > q->score || (score == q->score && row < q->number)) {
            q->number = row;
            q->score = score;
        }
        return 0;
    }
    uint64_t place = s->num_hits < q->limit ? s->num_hits++ : q->limit - 1;
    for (; place > 0 && s->hits[place - 1] > row; place--) s->hits[place] = s->hits[place - 1];
    s->hits[place] = row;
    if (s->num_hits == q->limit && s->hits[q->limit - 1] < q->before) q->before = (uint32_t)s->hits[q->limit - 1];
    return 0;
}

/* A row that asks, and what of it holds for every list that it looks through. */
typedef struct {
    const uint64_t *codes;
    uint64_t m, bag, wide[WIDE];
    const uint16_t *least_of;
    int has_table;
} Asking;

/* Looks at the rows under one word, behind which `rest` words of the asking row are left.  1 if no other row is wanted. */
static int look_through(const Index *x, Scratch *s, Asking *a, const List *list, uint64_t rest, Query *q) {
    const Posting *postings = list->postings;
    const uint16_t *least_of = a->least_of;
    uint64_t m = a->m, bag = a->bag;
    uint32_t count = list->count, at = q->from ? count : 0;
    while (at && postings[at - 1].row >= q->from) at--; /* few: rows from there on are the last ones */
    for (; at < count; at++) {
        const Posting *p = &postings[at];
        uint32_t row = p->row;
        if (row >= q->before) break;
        uint64_t n = p->length, least;
        if (least_of && n < TABLE) {
            least = least_of[n];
        } else {
            if (n == LONG_ROW) n = x->starts[row + 1] - x->starts[row];
            least = least_common(x->threshold, m, n);
            if (least > m || least > n) continue;
        }
        if ((rest < least) | ((p->rest < least) & (p->rest != LONG_ROW)) | (ones(bag & ~p->bag) + least > m) |
            (ones(p->bag & ~bag) + least > n)) /* one jump, which is foreseen: each by itself is not */
            continue;
        if (s->stamps[row] == s->stamp) continue;
        s->stamps[row] = s->stamp;
        uint64_t here = 0, there = 0;
        for (int w = 0; w < WIDE; w++) {
            here += ones(a->wide[w] & ~x->wide[row][w]);
            there += ones(x->wide[row][w] & ~a->wide[w]);
        }
        if (here + least > m || there + least > n) continue;
        if (q->kind == BEST && q->number != NONE) {
            uint64_t most = m - here < n - there ? m - here : n - there;
            if (f_measure(most, m, n) < q->score) continue;
        }
        if (!a->has_table && table_of(s, a->codes, m)) return -1;
        a->has_table = 1;
        s->counted++;
        const uint64_t *others = x->codes + x->starts[row];
        if (s->num_blocks > 1 && common_words(s, others, n) < least) continue;
        uint64_t lcs = lcs_with(s, m, others, n);
        if (lcs >= least && take(q, s, row, f_measure(lcs, m, n))) return 1;
    }
    return 0;
}

static int ask(const Index *x, Scratch *s, const uint64_t *codes, uint64_t m, Query *q) {
    q->number = NONE;
    q->score = 0.0;
    s->num_hits = 0;
    if (q->from >= q->before || (q->kind == LOWEST && !q->limit)) return 0;
    int64_t prefix = sort_row(x->threshold, s, codes, m);
    if (prefix <= 0) return (int)prefix;
    if (new_stamp(s, x->num_rows)) return -1;
    if (q->kind == LOWEST && reserve((void **)&s->hits, &s->hits_room, q->limit, sizeof *s->hits)) return -1;
    Asking a = {.codes = codes, .m = m, .least_of = least_for(s, x->threshold, m)};
    a.bag = bags_of(codes, m, a.wide);
    int shortest = class_of((uint64_t)(m - (uint64_t)prefix)); /* other rows hold m - prefix + 1 words or more */
    for (int64_t i = 0; i < prefix; i++) {
        uint64_t code = s->sorted[i], rest = m - (uint64_t)i;
        if ((i && s->sorted[i - 1] == code) || !belongs(code, x->part, x->parts)) continue;
        uint32_t number = x->list_of[slot_of(x, code)];
        if (number == NONE) continue;
        const List *list = &x->lists[number];
        int found = 0;
        if (!list->by_class) {
            found = look_through(x, s, &a, list, rest, q);
        } else { /* t (m + n) / 2 < L <= rest */
            double most = 2 * (double)rest / x->threshold - (double)m + 1;
            int longest = most < LONG_ROW ? class_of((uint64_t)most) : CLASSES - 1;
            for (int c = shortest; c <= longest && !found; c++)
                if (list->by_class[c].count) found = look_through(x, s, &a, &list->by_class[c], rest, q);
        }
        if (found) return found < 0 ? -1 : 0;
    }
    return 0;
}

/* ---- what Python calls: rows are codes[starts[i]] to before codes[starts[i + 1]] ---- */

PUBLIC int64_t kernel_version(void) { return KERNEL_VERSION; }

PUBLIC uint64_t index_length(const Index *x) { return x->num_rows; }

/* What it takes of memory, but for what the allocator adds. */
PUBLIC uint64_t index_num_bytes(const Index *x) {
    return x->num_bytes + x->num_slots * (sizeof *x->keys + sizeof *x->list_of) +
           x->lists_room * sizeof *x->lists + x->codes_room * sizeof *x->codes +
           x->starts_room * sizeof *x->starts + x->wide_room * sizeof *x->wide;
}

PUBLIC int index_add(Index *x, Scratch *s, const uint64_t *codes, const int64_t *starts, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
        if (add_row(x, s, codes + starts[i], (uint64_t)(starts[i + 1] - starts[i]))) return -1;
    return 0;
}

static uint32_t bound(const Index *x, const int64_t *before, int64_t i) {
    return before && before[i] < (int64_t)x->num_rows ? (uint32_t)(before[i] < 0 ? 0 : before[i]) : (uint32_t)x->num_rows;
}

/* is_near[i] = 1 where row i is over the threshold with a row of the index; what is 1 before is not asked. */
PUBLIC int index_has_near(const Index *x, Scratch *s, const uint64_t *codes, const int64_t *starts, int64_t begin,
                          int64_t end, const int64_t *before, uint8_t *is_near) {
    for (int64_t i = begin; i < end; i++) {
        if (is_near[i]) continue;
        Query q = {ANY, 0, bound(x, before, i), 0, NONE, 0.0};
        if (ask(x, s, codes + starts[i], (uint64_t)(starts[i + 1] - starts[i]), &q)) return -1;
        is_near[i] = q.number != NONE;
    }
    return 0;
}

/* In order: each row that is near none of the index from `from` on is added to it.  is_near as above. */
PUBLIC int index_admit(Index *x, Scratch *s, const uint64_t *codes, const int64_t *starts, int64_t begin, int64_t end,
                       int64_t from, uint8_t *is_near) {
    for (int64_t i = begin; i < end; i++) {
        if (is_near[i]) continue;
        const uint64_t *row = codes + starts[i];
        uint64_t m = (uint64_t)(starts[i + 1] - starts[i]);
        Query q = {ANY, (uint32_t)from, (uint32_t)x->num_rows, 0, NONE, 0.0};
        if (ask(x, s, row, m, &q)) return -1;
        is_near[i] = q.number != NONE;
        if (!is_near[i] && add_row(x, s, row, m)) return -1;
    }
    return 0;
}

/* The most similar row over the threshold, the first of equals; if there is none, the row is added, and -1 returned.
   -2 when memory runs out. */
PUBLIC int64_t index_admit_one(Index *x, Scratch *s, const uint64_t *codes, uint64_t m, double *score) {
    Query q = {BEST, 0, (uint32_t)x->num_rows, 0, NONE, 0.0};
    if (ask(x, s, codes, m, &q)) return -2;
    *score = q.score;
    if (q.number != NONE) return (int64_t)q.number;
    return add_row(x, s, codes, m) ? -2 : -1;
}

/* The most similar row over the threshold, the first of equals; -1 and 0.0 where there is none. */
PUBLIC int index_nearest(const Index *x, Scratch *s, const uint64_t *codes, const int64_t *starts, int64_t begin,
                         int64_t end, const int64_t *before, int64_t *numbers, double *scores) {
    for (int64_t i = begin; i < end; i++) {
        Query q = {BEST, 0, bound(x, before, i), 0, NONE, 0.0};
        if (ask(x, s, codes + starts[i], (uint64_t)(starts[i + 1] - starts[i]), &q)) return -1;
        numbers[i] = q.number == NONE ? -1 : (int64_t)q.number;
        scores[i] = q.score;
    }
    return 0;
}

/* The `limit` rows of lowest number over the threshold, ascending, in numbers[i * limit]; counts[i] of them. */
PUBLIC int index_near(const Index *x, Scratch *s, const uint64_t *codes, const int64_t *starts, int64_t begin,
                      int64_t end, const int64_t *before, int64_t limit, int64_t *numbers, int64_t *counts) {
    for (int64_t i = begin; i < end; i++) {
        Query q = {LOWEST, 0, bound(x, before, i), (uint64_t)limit, NONE, 0.0};
        if (ask(x, s, codes + starts[i], (uint64_t)(starts[i + 1] - starts[i]), &q)) return -1;
        counts[i] = (int64_t)s->num_hits;
        for (uint64_t hit = 0; hit < s->num_hits; hit++) numbers[i * limit + (int64_t)hit] = (int64_t)s->hits[hit];
    }
    return 0;
}

/* How many parts the prefix words of each row fall in, and which, ascending; `found` has room for a part a word. */
PUBLIC int index_parts(double threshold, Scratch *s, const uint64_t *codes, const int64_t *starts, int64_t begin,
                       int64_t end, uint64_t parts, int64_t *counts, uint64_t *found) {
    uint64_t total = 0;
    for (int64_t i = begin; i < end; i++) {
        int64_t prefix = sort_row(threshold, s, codes + starts[i], (uint64_t)(starts[i + 1] - starts[i]));
        if (prefix < 0) return -1;
        uint64_t count = 0;
        for (int64_t j = 0; j < prefix; j++) found[total + (uint64_t)j] = mix(s->sorted[j]) % parts;
        sort_codes(found + total, (uint64_t)prefix);
        for (int64_t j = 0; j < prefix; j++)
            if (!j || found[total + (uint64_t)j] != found[total + count - 1]) found[total + count++] = found[total + (uint64_t)j];
        counts[i] = (int64_t)count;
        total += count;
    }
    return 0;
}
