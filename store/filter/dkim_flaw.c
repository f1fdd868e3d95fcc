#include "dkim_flaw.h"

static const char *const texts[DKIM_FLAW_COUNT] = {
    [DKIM_FLAW_NONE] = "valid",
    [DKIM_FLAW_FOREIGN] = "no signature of the From domain",
    [DKIM_FLAW_SYNTAX] = "signature malformed",
    [DKIM_FLAW_ALGORITHM] = "algorithm not accepted",
    [DKIM_FLAW_FROM] = "From not signed",
    [DKIM_FLAW_IDENTITY] = "i= outside of d=",
    [DKIM_FLAW_EXPIRED] = "signature expired",
    [DKIM_FLAW_FUTURE] = "signature from the future",
    [DKIM_FLAW_BODY] = "body changed",
    [DKIM_FLAW_NO_KEY] = "no key in DNS",
    [DKIM_FLAW_KEY] = "key record not usable",
    [DKIM_FLAW_KEY_SIZE] = "key size not accepted",
    [DKIM_FLAW_REVOKED] = "key revoked",
    [DKIM_FLAW_STRICT] = "i= not allowed by the key",
    [DKIM_FLAW_SIGNATURE] = "signature does not fit the key",
};

const char *dkim_flaw_text(enum dkim_flaw flaw)
{
    return texts[flaw];
}
