/* Assertions that name the row of a table that failed. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

static inline void row_equal(const char *row, int64_t got, int64_t want)
{
    if (got != want)
        fail_msg("%s: got %lld, want %lld", row, (long long)got, (long long)want);
}

static inline void row_same(const char *row, const char *got, const char *want)
{
    if (got == NULL || strcmp(got, want) != 0)
        fail_msg("%s: got \"%s\", want \"%s\"", row, got ? got : "(null)", want);
}

static inline void row_contains(const char *row, const char *got, const char *part)
{
    if (got == NULL || strstr(got, part) == NULL)
        fail_msg("%s: got \"%s\", want \"%s\" in it", row, got ? got : "(null)", part);
}
