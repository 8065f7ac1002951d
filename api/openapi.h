/* The schema and a page to read it, for people and generators (contract/rest.md §8). */
#pragma once

#include "base/str.h"

/* openapi_text - openapi.yaml as it was built in. Static. */
const char *openapi_text(size_t *ret_len);

/* openapi_page - the operations as one HTML page without scripts, written from the routes themselves. */
void openapi_page(struct strbuf *to);
