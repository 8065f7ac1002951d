/* Users, folders, administrators: list, show, add, set, remove by one table. */
#pragma once

#include "tool/tool.h"

struct entity {
    const char *noun;    /* of the API: "apikeys" */
    const char *command; /* of the command line: "keys" */
    const char *one;     /* "API key" */
    const char *key;     /* the member that names it in paths: "id" */
    const char *made_by; /* the member that the first word of `add` is: "name" */
    const char *remark;  /* behind the question whether to remove it, with a blank before it, or "" */
    unsigned of;         /* enum member_of */
    const struct column *columns;
    size_t columns_n;
    void (*row)(struct json_object *entry, const char **cells, char (*numbers)[TEXT_NUMBER_MAX]);
    int (*prepare)(struct json_object *body);   /* what is not given when one is made; may be NULL */
    void (*say_made)(struct json_object *made); /* what a person must know of it; may be NULL */
    bool keeps_includes;                        /* PUT drops virtual_folders that it does not name */
};

int entity_list(struct tool *t, const struct entity *e) MUST_CHECK;
int entity_show(struct tool *t, const struct entity *e) MUST_CHECK;
int entity_add(struct tool *t, const struct entity *e) MUST_CHECK;
int entity_set(struct tool *t, const struct entity *e) MUST_CHECK;
int entity_remove(struct tool *t, const struct entity *e) MUST_CHECK;

/* entity_print - the members of an object that are not empty, one a line. */
void entity_print(const struct tool *t, struct json_object *o, unsigned of);
