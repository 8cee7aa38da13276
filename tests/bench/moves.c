/* Preloaded into a process, counts what it copies and allocates into a file that can be read meanwhile.
 *
 *   LD_PRELOAD=moves.so BWVD_MOVES=FILE PROGRAM …
 *
 * FILE, which has to be there, holds three unsigned numbers of 64 bits: bytes copied, copies, allocations. A copy is one of
 * at least LEAST bytes by memcpy, memmove or mempcpy; smaller ones are no copies of media. What a compiler has put in the
 * place of a call, what a library does for itself, and what the kernel copies is not seen. glibc.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define LEAST 1024

enum { BYTES, COPIES, ALLOCATIONS, COUNTS };

static uint64_t unseen[COUNTS]; /* until there is the file */
static uint64_t *counts = unseen;

static void *(*copy)(void *, const void *, size_t);
static void *(*move)(void *, const void *, size_t);
static int (*aligned)(void **, size_t, size_t);

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("BWVD_MOVES");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *mapped = MAP_FAILED;

    copy = dlsym(RTLD_NEXT, "memcpy");
    move = dlsym(RTLD_NEXT, "memmove");
    aligned = dlsym(RTLD_NEXT, "posix_memalign");
    if (file >= 0)
        mapped = mmap(NULL, COUNTS * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED || !copy || !move || !aligned)
        abort(); /* a count of nothing would look like a good one */
    close(file);
    counts = mapped;
}

static void count(int which, uint64_t more)
{
    __atomic_fetch_add(&counts[which], more, __ATOMIC_RELAXED);
}

static void count_copy(size_t size)
{
    if (size >= LEAST) {
        count(BYTES, size);
        count(COPIES, 1);
    }
}

/* The places may overlap. For what is copied before the real ones are known. */
static void *by_byte(void *to, const void *from, size_t size)
{
    volatile unsigned char *into = to;
    const unsigned char *source = from;

    if ((uintptr_t)to < (uintptr_t)from)
        for (size_t at = 0; at < size; at++)
            into[at] = source[at];
    else
        while (size--)
            into[size] = source[size];
    return to;
}

void *memcpy(void *to, const void *from, size_t size)
{
    count_copy(size);
    return copy ? copy(to, from, size) : by_byte(to, from, size);
}

void *memmove(void *to, const void *from, size_t size)
{
    count_copy(size);
    return move ? move(to, from, size) : by_byte(to, from, size);
}

void *mempcpy(void *to, const void *from, size_t size)
{
    return (char *)memcpy(to, from, size) + size;
}

/* What a compiler makes of the three where it knows how much room there is. */
void *__memcpy_chk(void *to, const void *from, size_t size, size_t room)
{
    if (size > room)
        abort();
    return memcpy(to, from, size);
}

void *__memmove_chk(void *to, const void *from, size_t size, size_t room)
{
    if (size > room)
        abort();
    return memmove(to, from, size);
}

void *__mempcpy_chk(void *to, const void *from, size_t size, size_t room)
{
    if (size > room)
        abort();
    return mempcpy(to, from, size);
}

void *malloc(size_t size)
{
    count(ALLOCATIONS, 1);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    count(ALLOCATIONS, 1);
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size)
{
    count(ALLOCATIONS, 1);
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count(ALLOCATIONS, 1);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    count(ALLOCATIONS, 1);
    return aligned ? aligned(block, alignment, size) : ENOMEM;
}
