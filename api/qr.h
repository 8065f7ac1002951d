/* The QR code by which a phone learns a one-time password's secret. Threads: any. */
#pragma once

#include "base/config.h"

/* qr_of_totp - base64 of a PNG; owned. -ENOMEM; -E2BIG: the names are too long. */
int qr_of_totp(const struct totp_provider *p, const char *account, const char *secret, char **ret) MUST_CHECK;
