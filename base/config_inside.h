/* Between the files of the configuration: sections that stand in files of their own. */
#pragma once

#include "base/config.h"

extern const struct schema httpd_config_schema, defender_config_schema, rate_limiter_config_schema;

enum { PORT_MAX = 65535 };

#define PATH_TEXT     "must be an absolute path without \".\" and \"..\""
#define ADDRESS_TEXT  "must be an IP address, or empty for all"
#define LISTENER_TEXT "must be an IP address, empty for all, or the absolute path of a Unix socket (at most 107 bytes)"

bool config_path_is(const char *s);     /* absolute, without "." and ".." */
bool config_listener_is(const char *s); /* an address, or such a path that fits a Unix socket */
