/* qr: a QR code as an SVG picture (libqrencode behind this one file). */
#ifndef OP_QR_H
#define OP_QR_H

#include "common/err.h"

#define OP_QR_TEXT_MAX 1024 /* bytes */

/* One path of black squares on white, a quiet zone of four modules, no size of its own:
 * it is as large as it is drawn. Error correction M. Caller frees. REFUSE when the text
 * is longer than OP_QR_TEXT_MAX. */
CM_MUSTUSE int op_qr_svg(const char *text, char **svg_r, struct cm_err *err);

#endif
