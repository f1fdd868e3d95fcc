/* not_public: IPv4 sources that no client on the Internet has (RFC 6890). For both
 * compilers, and for text: no includes. The documentation networks are not in it: the
 * lab lives there. Of IPv6 only 2000::/3 is public. */
#ifndef PX_NOT_PUBLIC_H
#define PX_NOT_PUBLIC_H

/* X(a, b, c, d, bits), ascending */
#define PX_NOT_PUBLIC(X)                                                               \
    X(0, 0, 0, 0, 8)                                                                   \
    X(10, 0, 0, 0, 8)                                                                  \
    X(100, 64, 0, 0, 10)                                                               \
    X(127, 0, 0, 0, 8)                                                                 \
    X(169, 254, 0, 0, 16)                                                              \
    X(172, 16, 0, 0, 12)                                                               \
    X(192, 0, 0, 0, 24)                                                                \
    X(192, 168, 0, 0, 16)                                                              \
    X(198, 18, 0, 0, 15)                                                               \
    X(224, 0, 0, 0, 3)

#endif
