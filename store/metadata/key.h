/* key: what a dict key of Dovecot's METADATA asks for (relay-spec.md 2.4.1). */
#ifndef METADATA_KEY_H
#define METADATA_KEY_H

enum key {
    KEY_OTHER,
    KEY_TOKEN,       /* priv/GUID/devicetoken */
    KEY_NEW_MESSAGE, /* priv/GUID/messagenew */
    KEY_IROH_RELAY,  /* the rest: shared/GUID/vendor/.../vendor/deltachat/NAME */
    KEY_TURN,
    KEY_MAX_RECIPIENTS,
    KEY_APP_VERSIONS,
};

/* The mailbox GUID may be anything without a slash: what is kept belongs to the
 * address. */
enum key key_parse(const char *text);

#endif
