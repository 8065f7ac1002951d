/* Attributes and small words that every file uses. Spelled here and nowhere else.
 *
 * Source: GCC manual, "Declaring Attributes of Functions"; Clang's "Thread Safety Analysis". */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MUST_CHECK        __attribute__((warn_unused_result))
#define NONNULL_ALL       __attribute__((nonnull))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define CLEANUP(fn)       __attribute__((cleanup(fn)))
#define UNUSED            __attribute__((unused))
#define NORETURN          __attribute__((noreturn))

#ifdef __clang__
#define DEALLOC(fn)
#define CAPABILITY(name)     __attribute__((capability(name)))
#define ACQUIRE(...)         __attribute__((acquire_capability(__VA_ARGS__)))
#define ACQUIRE_SHARED(...)  __attribute__((acquire_shared_capability(__VA_ARGS__)))
#define RELEASE(...)         __attribute__((release_generic_capability(__VA_ARGS__)))
#define REQUIRES(...)        __attribute__((requires_capability(__VA_ARGS__)))
#define REQUIRES_SHARED(...) __attribute__((requires_shared_capability(__VA_ARGS__)))
#define NO_ANALYSIS          __attribute__((no_thread_safety_analysis))
#else
#define DEALLOC(fn) __attribute__((malloc(fn, 1)))
#define CAPABILITY(name)
#define ACQUIRE(...)
#define ACQUIRE_SHARED(...)
#define RELEASE(...)
#define REQUIRES(...)
#define REQUIRES_SHARED(...)
#define NO_ANALYSIS
#endif

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))

/* Gives a pointer away: its value, and NULL stays behind, so that a cleanup of `p` releases nothing. */
#define TAKE_PTR(p)                                                                                                    \
    ({                                                                                                                 \
        __typeof__(p) *take_ = &(p);                                                                                   \
        __typeof__(p) taken_ = *take_;                                                                                 \
        *take_ = NULL;                                                                                                 \
        taken_;                                                                                                        \
    })

/* A result that is rightly ignored, with the reason. */
#define IGNORE(x, why)                                                                                                 \
    do {                                                                                                               \
        __typeof__(x) ignored_ UNUSED = (x);                                                                           \
        (void)(why);                                                                                                   \
    } while (0)

/* Defines fn_p(T **), the form that CLEANUP wants, from fn(T *). */
#define DEFINE_CLEANUP(T, fn)                                                                                          \
    static inline void fn##_p(T **p)                                                                                   \
    {                                                                                                                  \
        fn(*p);                                                                                                        \
    }

/* Closes a descriptor at the end of a scope: CLEANUP(fd_close) int fd = -1; */
void fd_close(int *fd);

/* A descriptor given away: its value, and -1 stays behind. */
static inline int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

/* free() in the form that CLEANUP wants: CLEANUP(mem_free) char *s = NULL; */
void mem_free(void *pp);
