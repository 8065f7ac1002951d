/* Users, folders, administrators: list, show, add, set, remove by one table. */
#pragma once

#include "tool/tool.h"

struct entity {
    const char *noun; /* of the API and of the command line: "users" */
    const char *one;  /* "user" */
    const char *key;  /* the member that names it: "username" */
    unsigned of;      /* enum member_of */
    const struct column *columns;
    size_t columns_n;
    void (*row)(struct json_object *entry, const char **cells, char (*numbers)[TEXT_NUMBER_MAX]);
    int (*prepare)(struct json_object *body); /* what is not given when one is made; may be NULL */
    bool keeps_includes;                      /* PUT drops virtual_folders that it does not name */
};

int entity_list(struct tool *t, const struct entity *e) MUST_CHECK;
int entity_show(struct tool *t, const struct entity *e) MUST_CHECK;
int entity_add(struct tool *t, const struct entity *e) MUST_CHECK;
int entity_set(struct tool *t, const struct entity *e) MUST_CHECK;
int entity_remove(struct tool *t, const struct entity *e) MUST_CHECK;

/* entity_print - the members of an object that are not empty, one a line. */
void entity_print(const struct tool *t, struct json_object *o, unsigned of);
