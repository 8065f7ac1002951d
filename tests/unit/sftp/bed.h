/* A bed for engine tests: a home in a temporary directory, a user with chosen rights, requests as bytes, replies as
 * numbers and texts. */
#pragma once

#include "sftp/engine.h"
#include "sftp/packet.h"

struct bed {
    char dir[64];
    struct user user;
    struct dir_perms perms[8];
    struct activity activity;
    struct account account;
    struct engine *engine;
    struct queue request; /* the packet that is being built */
    uint32_t next_id;
    /* the last reply */
    uint8_t type;
    uint32_t status;
    char text[512];
    uint8_t data[PACKET_MAX];
    size_t data_len;
};

int bed_setup(void **state);
int bed_teardown(void **state);

void bed_allow(struct bed *b, const char *path, uint32_t perms); /* "/" first */
void bed_restart(struct bed *b);                                 /* a new engine that has been greeted */

void bed_ask(struct bed *b, uint8_t type); /* begins a request; then packet_put_*(&b->request, …) */
void bed_send(struct bed *b);              /* sends it and reads the reply */
uint32_t bed_path(struct bed *b, uint8_t type,
                  const char *path); /* a request of one path: its status, 0 for other replies */
uint32_t bed_open(struct bed *b, const char *path, uint32_t flags, char ret_handle[8]);
uint32_t bed_write(struct bed *b, const char handle[8], uint64_t off, const char *s);
uint32_t bed_close(struct bed *b, const char handle[8]);
uint32_t bed_two(struct bed *b, uint8_t type, const char *one, const char *two);
uint32_t bed_extended(struct bed *b, const char *name, const char *one, const char *two);

/* The home, past the engine. */
void bed_file(struct bed *b, const char *path, const char *content);
bool bed_exists(struct bed *b, const char *path);
void bed_content(struct bed *b, const char *path, const char *expected);
size_t bed_entries(struct bed *b);                    /* in the home's root */
void bed_run(struct bed *b, const char *const *argv); /* a program in the home */
