/* What the compiled inner loops share.  A function that returns int returns -1 when memory runs out. */

#ifndef ALPACA_KERNEL_H
#define ALPACA_KERNEL_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC __attribute__((visibility("default")))
#endif

#define NONE UINT32_MAX

static inline uint64_t mix(uint64_t x) { /* a bijection: Steele et al. 2014, splitmix64 */
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Room for `need` items of `size` bytes behind `*data`; doubles. */
static inline int reserve(void **data, uint64_t *room, uint64_t need, size_t size) {
    if (need <= *room) return 0;
    uint64_t wanted = *room ? *room : 16;
    while (wanted < need) wanted *= 2;
    void *grown = realloc(*data, wanted * size);
    if (!grown) return -1;
    *data = grown;
    *room = wanted;
    return 0;
}

#endif
