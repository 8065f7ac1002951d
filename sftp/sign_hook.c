#include "sftp/sign_hook.h"

#include <dlfcn.h>
#include <openssl/evp.h>

static struct sign_hook hook; /* of this process, which is one session */

void sign_hook_set(const struct sign_hook *h)
{
    hook = h ? *h : (struct sign_hook){ 0 };
}

static EVP_PKEY *key_of(EVP_MD_CTX *ctx)
{
    EVP_PKEY_CTX *pctx = EVP_MD_CTX_get_pkey_ctx(ctx);
    return pctx ? EVP_PKEY_CTX_get0_pkey(pctx) : NULL;
}

static const char *digest_of(EVP_MD_CTX *ctx)
{
    const EVP_MD *md = EVP_MD_CTX_get0_md(ctx);
    return md ? EVP_MD_get0_name(md) : NULL;
}

int EVP_DigestSign(EVP_MD_CTX *ctx, unsigned char *sig, size_t *len, const unsigned char *data, size_t data_len)
{
    static int (*real)(EVP_MD_CTX *, unsigned char *, size_t *, const unsigned char *, size_t);

    if (hook.sign && key_of(ctx)) {
        if (sig)
            return hook.sign(hook.arg, EVP_PKEY_get_base_id(key_of(ctx)), digest_of(ctx), data, data_len, sig, len) ==
                   0;
        *len = (size_t)EVP_PKEY_get_size(key_of(ctx));
        return 1;
    }
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "EVP_DigestSign");
    return real ? real(ctx, sig, len, data, data_len) : 0;
}

int EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sig, size_t len, const unsigned char *data, size_t data_len)
{
    static int (*real)(EVP_MD_CTX *, const unsigned char *, size_t, const unsigned char *, size_t);

    if (hook.verify) {
        hook.verify(hook.arg, digest_of(ctx), sig, len, data, data_len);
        return 1;
    }
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "EVP_DigestVerify");
    return real ? real(ctx, sig, len, data, data_len) : 0;
}
