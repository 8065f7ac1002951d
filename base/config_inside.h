/* Between the files of the configuration: sections that stand in files of their own. */
#pragma once

#include "base/config.h"

extern const struct schema defender_config_schema, rate_limiter_config_schema;
