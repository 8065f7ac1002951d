/* newterm() would say so, too, but it leaks when it fails. */
#include "tool/terminfo.h"

#include <curses.h>
#include <term.h>
#include <unistd.h>

bool terminfo_has(void)
{
    int error;

    if (setupterm(NULL, STDOUT_FILENO, &error) != OK)
        return false;
    bool is_good = cursor_address != NULL;
    IGNORE(del_curterm(cur_term), "it is there");
    return is_good;
}
