/* What ssh_key.c and ssh_key_file.c share. */
#pragma once

#include <openssl/bn.h>
#include <openssl/param_build.h>

#include "sftp/ssh_key.h"

struct ssh_curve {
    const char *name;    /* in the blob */
    const char *type;    /* of the key */
    const char *openssl; /* the group */
    int nid;
    size_t bytes; /* of a coordinate */
};
extern const struct ssh_curve ssh_curves[]; /* ends with name NULL */

const struct ssh_curve *ssh_curve_of_type(const uint8_t *type, size_t len);
const struct ssh_curve *ssh_curve_of_key(EVP_PKEY *key);
bool bytes_are(const uint8_t *p, size_t len, const char *s);
void put_mpint(struct queue *q, const BIGNUM *n);
int key_build(const char *algorithm, OSSL_PARAM_BLD *b, int selection, EVP_PKEY **ret) MUST_CHECK;
