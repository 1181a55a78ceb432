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
#define KERNEL_VERSION 1 /* one more with each change of what Python calls or gets; kernel.py demands it */

static inline uint64_t mix(uint64_t x) { /* a bijection: Steele et al. 2014, splitmix64 */
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* As realloc; NULL also where the size is none that a pointer could reach. */
static inline void *resized(void *data, uint64_t count, size_t size) {
    return count <= SIZE_MAX / size ? realloc(data, (size_t)count * size) : NULL;
}

/* Room for `need` items of `size` bytes behind `*data`; doubles. */
static inline int reserve(void **data, uint64_t *room, uint64_t need, size_t size) {
    if (need <= *room) return 0;
    uint64_t wanted = *room ? *room : 16;
    while (wanted < need && wanted <= UINT64_MAX / 2) wanted *= 2;
    void *grown = wanted < need ? NULL : resized(*data, wanted, size);
    if (!grown) return -1;
    *data = grown;
    *room = wanted;
    return 0;
}

#endif
