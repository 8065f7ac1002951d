/* A store in a directory of its own, and entities from JSON, for the tests of store/. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/store.h"

struct bed {
    char dir[64];
    struct config config;
    struct store *store; /* a writer; NULL until bed_open() */
};

int bed_setup(void **state); /* *state is a struct bed; the store is open */
int bed_teardown(void **state);
void bed_open(struct bed *b);
void bed_reopen(struct bed *b);

/* Fail unless the text is valid for the entity. `use` as in bodies or dumps. Owned by the caller. */
struct json_object *json_of(const char *text);
void user_of(const char *text, enum schema_use use, struct user *ret);
void folder_of(const char *text, struct folder *ret);
void admin_of(const char *text, struct admin *ret);

/* Results of adding what the text says; the reason is in b_why. */
extern struct why bed_why;
int add_user(struct bed *b, const char *text, int64_t *ret_id);
int update_user(struct bed *b, const char *text);
int add_folder(struct bed *b, const char *text, int64_t *ret_id);
int add_admin(struct bed *b, const char *text);

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA9PPvNTepQUnzgF4HUVXfaqVJjhswryBc/flsWKnA+2 anna@example.com"

/* The least that a user needs, with more members behind it. */
#define USER(name, more)                                                                                               \
    "{\"username\":\"" name "\",\"status\":1,\"public_keys\":[\"" KEY "\"],\"permissions\":{\"/\":[\"*\"]}" more "}"

/* Fail with the row's name. */
#define row_equal(name, is, want) row_check((name), (int64_t)(is), (int64_t)(want))
void row_check(const char *name, int64_t is, int64_t want);
void row_text(const char *name, const char *is, const char *want);
