/* Words to numbers: an exact hash table, and the hash by which shards agree on a word without knowing of each other. */

#include "kernel.h"

typedef struct {
    uint64_t *starts; /* of each word's bytes; one more than words */
    uint64_t *counts;
    char *bytes;
    uint32_t *slots; /* hash table of word numbers, NONE where empty */
    uint32_t *tags;  /* upper half of the hash of the word in each slot */
    uint64_t num_words, starts_room, counts_room, bytes_room, num_slots;
} Vocabulary;

/* A word of up to eight bytes is hashed without loss but for its length. */
static uint64_t hash_word(const char *word, uint64_t length, uint64_t salt) {
    uint64_t hash = mix(salt + UINT64_C(0x9e3779b97f4a7c15)) ^ (length * UINT64_C(0xd6e8feb86659fd93));
    for (uint64_t at = 0; at < length; at += 8) {
        uint64_t chunk = 0;
        for (uint64_t i = 0; i < 8 && at + i < length; i++) chunk |= (uint64_t)(unsigned char)word[at + i] << (8 * i);
        hash = mix(hash ^ chunk);
    }
    return hash;
}

PUBLIC void vocabulary_free(Vocabulary *v) {
    if (!v) return;
    free(v->starts);
    free(v->counts);
    free(v->bytes);
    free(v->slots);
    free(v->tags);
    free(v);
}

PUBLIC Vocabulary *vocabulary_new(void) {
    Vocabulary *v = calloc(1, sizeof *v);
    if (!v) return NULL;
    v->num_slots = 1 << 12;
    v->slots = malloc(v->num_slots * sizeof *v->slots);
    v->tags = malloc(v->num_slots * sizeof *v->tags);
    if (!v->slots || !v->tags || reserve((void **)&v->starts, &v->starts_room, 1, sizeof *v->starts)) {
        vocabulary_free(v);
        return NULL;
    }
    memset(v->slots, 0xff, v->num_slots * sizeof *v->slots);
    v->starts[0] = 0;
    return v;
}

static int vocabulary_grow(Vocabulary *v) {
    uint64_t num_slots = v->num_slots * 4;
    uint32_t *slots = malloc(num_slots * sizeof *slots), *tags = malloc(num_slots * sizeof *tags);
    if (!slots || !tags) {
        free(slots);
        free(tags);
        return -1;
    }
    memset(slots, 0xff, num_slots * sizeof *slots);
    for (uint64_t word = 0; word < v->num_words; word++) {
        uint64_t hash = hash_word(v->bytes + v->starts[word], v->starts[word + 1] - v->starts[word], 0);
        uint64_t slot = hash & (num_slots - 1);
        while (slots[slot] != NONE) slot = (slot + 1) & (num_slots - 1);
        slots[slot] = (uint32_t)word;
        tags[slot] = (uint32_t)(hash >> 32);
    }
    free(v->slots);
    free(v->tags);
    v->slots = slots;
    v->tags = tags;
    v->num_slots = num_slots;
    return 0;
}

static uint32_t number_of(Vocabulary *v, const char *word, uint64_t length) {
    uint64_t hash = hash_word(word, length, 0), slot = hash & (v->num_slots - 1);
    uint32_t tag = (uint32_t)(hash >> 32);
    for (; v->slots[slot] != NONE; slot = (slot + 1) & (v->num_slots - 1)) {
        uint32_t found = v->slots[slot];
        if (v->tags[slot] == tag && v->starts[found + 1] - v->starts[found] == length &&
            memcmp(v->bytes + v->starts[found], word, length) == 0) {
            v->counts[found]++;
            return found;
        }
    }
    uint64_t end = v->starts[v->num_words] + length;
    if (v->num_words == NONE - 1 || reserve((void **)&v->bytes, &v->bytes_room, end, 1) ||
        reserve((void **)&v->starts, &v->starts_room, v->num_words + 2, sizeof *v->starts) ||
        reserve((void **)&v->counts, &v->counts_room, v->num_words + 1, sizeof *v->counts))
        return NONE;
    memcpy(v->bytes + v->starts[v->num_words], word, length);
    v->slots[slot] = (uint32_t)v->num_words;
    v->tags[slot] = tag;
    v->counts[v->num_words] = 1;
    v->starts[++v->num_words] = end;
    if (v->num_words * 2 > v->num_slots && vocabulary_grow(v)) return NONE;
    return (uint32_t)v->num_words - 1;
}

/* Numbers the words of a text of lines.  A word is a run of a-z and 0-9; with `spaced` a run of anything but a space.
   `numbers` has room for a word every other byte; starts[i] is where line i begins in it, and the last entry its end.
   Returns how many lines there were, -1 when memory runs out. */
PUBLIC int64_t vocabulary_number(Vocabulary *v, const char *text, uint64_t length, int spaced, uint32_t *numbers,
                                 int64_t *starts) {
    uint8_t is_word[256];
    for (int c = 0; c < 256; c++)
        is_word[c] = spaced ? c != ' ' && c != '\n' : (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    uint64_t at = 0, count = 0, line = 0;
    starts[0] = 0;
    for (;;) {
        while (at < length && !is_word[(unsigned char)text[at]] && text[at] != '\n') at++;
        if (at == length || text[at] == '\n') {
            starts[++line] = (int64_t)count;
            if (at == length) return (int64_t)line;
            at++;
            continue;
        }
        uint64_t begin = at;
        while (at < length && is_word[(unsigned char)text[at]]) at++;
        uint32_t number = number_of(v, text + begin, at - begin);
        if (number == NONE) return -1;
        numbers[count++] = number;
    }
}

PUBLIC uint64_t vocabulary_length(const Vocabulary *v) { return v->num_words; }

PUBLIC uint64_t vocabulary_num_bytes(const Vocabulary *v) { return v->starts[v->num_words]; }

PUBLIC void vocabulary_counts(const Vocabulary *v, uint64_t *counts) {
    if (v->num_words) memcpy(counts, v->counts, v->num_words * sizeof *counts);
}

PUBLIC void vocabulary_words(const Vocabulary *v, char *bytes, int64_t *starts) {
    if (v->starts[v->num_words]) memcpy(bytes, v->bytes, v->starts[v->num_words]);
    for (uint64_t word = 0; word <= v->num_words; word++) starts[word] = (int64_t)v->starts[word];
}

/* Word i is bytes[starts[i]] to before bytes[starts[i + 1]]. */
PUBLIC void words_hash(const char *bytes, const int64_t *starts, int64_t num_words, uint64_t salt, uint64_t *hashes) {
    for (int64_t word = 0; word < num_words; word++)
        hashes[word] = hash_word(bytes + starts[word], (uint64_t)(starts[word + 1] - starts[word]), salt);
}

/* Whether words of equal hashes are equal; `order` sorts the hashes. */
PUBLIC int words_agree(const char *bytes, const int64_t *starts, int64_t num_words, const uint64_t *hashes,
                       const int64_t *order) {
    for (int64_t i = 1; i < num_words; i++) {
        int64_t a = order[i - 1], b = order[i];
        if (hashes[a] != hashes[b]) continue;
        int64_t length = starts[a + 1] - starts[a];
        if (length != starts[b + 1] - starts[b] || memcmp(bytes + starts[a], bytes + starts[b], (size_t)length)) return 0;
    }
    return 1;
}
