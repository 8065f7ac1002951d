/* Members of the API's objects as people write and read them: `quota_size=10G`, `status=off`.
 *
 * One table (member_rows) says for each member what kind of value it is; assignments, `show` and completion use it.
 *
 *     FIELD=VALUE    sets          FIELD+=VALUE, FIELD-=VALUE   an entry of a list more, less
 *     FIELD:=JSON    any member, as it is                       password=-  asked for, or a line of stdin
 *     permissions./pub=list,download      one entry of a user's permissions; an empty value removes it
 *     virtual_folders+=photos:/pics:5G:1000   an included folder, with limits (none: they count for the user)
 *
 * Ownership: JSON values are json-c's, owned by the object they are put in. */
#pragma once

#include "base/json.h"

enum member_kind {
    MEMBER_TEXT,
    MEMBER_SWITCH, /* 1 and 0: on, off */
    MEMBER_FLAG,   /* true, false */
    MEMBER_COUNT,
    MEMBER_SIZE, /* bytes */
    MEMBER_DATE, /* Unix milliseconds */
    MEMBER_LIST, /* of texts */
    MEMBER_SECRET,
    MEMBER_RIGHTS,   /* path: list of rights */
    MEMBER_INCLUDES, /* virtual folders */
};

enum member_of { OF_USERS = 1, OF_FOLDERS = 2, OF_ADMINS = 4, OF_KEYS = 8 };

struct member_row {
    const char *name; /* dotted where it lies deeper */
    enum member_kind kind;
    unsigned of;
    bool read_only;
    const char *help;
};
extern const struct member_row member_rows[];
extern const size_t member_rows_n;

const struct member_row *member_find(const char *name, unsigned of);

/* member_assign - one assignment. `now` is the object as it is (an empty one when it is made), `body` what is sent: it
 * gets the member of the top level that changes. TOOL_OK, or an exit status with the reason printed. */
int member_assign(const char *assignment, unsigned of, struct json_object *now, struct json_object *body) MUST_CHECK;

/* member_show - the value as a person reads it, added to `to`. */
void member_show(const struct member_row *row, struct json_object *value, struct strbuf *to);
