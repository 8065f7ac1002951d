/* Between the files of hooks. */
#pragma once

#include "base/hook.h"
#include "base/str.h"

/* hook_http - the same as hook_run() for a URL. */
int hook_http(const struct hook_request *q, struct hook_answer *ret) MUST_CHECK;
