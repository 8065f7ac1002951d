#include "base/why.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/str.h"

int why_set(struct why *w, int r, const char *field, const char *fmt, ...)
{
    va_list ap;

    if (w == NULL)
        return r;
    w->line = 0;
    str_set(w->field, sizeof w->field, field ? field : "");
    va_start(ap, fmt);
    vsnprintf(w->text, sizeof w->text, fmt, ap);
    va_end(ap);
    return r;
}
