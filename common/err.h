/* err: why something failed, told where the fact is known.
 *
 * A function that can fail returns 0 or -1 (lookups: 1 found, 0 not found, -1 error)
 * and fills its last parameter, which is never NULL. Outputs are untouched on failure.
 * Library code does not log: the program logs the text once. A broken invariant of our
 * own is not an error value; use cm_assert(). */
#ifndef CM_ERR_H
#define CM_ERR_H

#define CM_MUSTUSE      __attribute__((warn_unused_result))
#define CM_PRINTF(f, a) __attribute__((format(printf, f, a)))

enum cm_err_kind {
    CM_ERR_NONE = 0,
    CM_ERR_RETRY,  /* passing trouble: SMTP 4xx, try again */
    CM_ERR_REFUSE, /* positive proof that the input is bad: SMTP 5xx */
    CM_ERR_WORLD,  /* an operator must act; the text says how */
};

struct cm_err {
    enum cm_err_kind kind;
    char text[1024]; /* one line, no trailing newline; longer texts are cut */
};

/* Fills err and returns -1, so that "return cm_err_set(...)" reads as what it is. */
int cm_err_set(struct cm_err *err, enum cm_err_kind kind, const char *fmt, ...)
    CM_PRINTF(3, 4);

/* Puts "CONTEXT: " in front of a text already set. Returns -1. */
int cm_err_prefix(struct cm_err *err, const char *fmt, ...) CM_PRINTF(2, 3);

/* On in release too: prints file, line and expression on stderr and aborts. */
#define cm_assert(expr) ((expr) ? (void)0 : cm_assert_failed(#expr, __FILE__, __LINE__))
_Noreturn void cm_assert_failed(const char *expr, const char *file, int line);

#endif
