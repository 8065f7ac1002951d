/* Is the terminal known here? Apart from the screen, since <term.h> defines macros for words like `lines`. */
#pragma once

#include "base/defs.h"

/* terminfo_has - is $TERM in the terminfo database, and good enough for a screen? */
bool terminfo_has(void);
