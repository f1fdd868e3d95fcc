#include "qr.h"

#include <errno.h>
#include <string.h>

#include <qrencode.h>

#include "common/buf.h"

#define QUIET   4 /* modules, ISO/IEC 18004 */
#define SVG_MAX (1u << 20)

/* Runs of black modules in a row become one rectangle of the path. */
static void draw_row(struct cm_buf *out, const unsigned char *row, int width, int y)
{
    for (int x = 0; x < width;) {
        int from = x;
        while (x < width && (row[x] & 1) != 0) {
            x++;
        }
        if (x > from) {
            cm_buf_fmt(out, "M%d %dh%dv1h-%dz", from + QUIET, y + QUIET, x - from,
                       x - from);
        } else {
            x++;
        }
    }
}

int op_qr_svg(const char *text, char **svg_r, struct cm_err *err)
{
    if (strlen(text) > OP_QR_TEXT_MAX) {
        return cm_err_set(err, CM_ERR_REFUSE, "too long for a QR code: %zu bytes",
                          strlen(text));
    }
    QRcode *code = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_M);
    if (code == NULL) {
        return cm_err_set(err, CM_ERR_REFUSE, "no QR code: %s", strerror(errno));
    }
    int side = code->width + 2 * QUIET;
    struct cm_buf out;
    cm_buf_init(&out, SVG_MAX);
    cm_buf_fmt(
        &out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
        "shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h%dv%dH0z\"/>"
        "<path d=\"",
        side, side, side, side);
    for (int y = 0; y < code->width; y++) {
        draw_row(&out, code->data + y * code->width, code->width, y);
    }
    cm_buf_str(&out, "\"/></svg>\n");
    QRcode_free(code);
    cm_assert(!out.overflow);
    *svg_r = cm_buf_steal(&out);
    return 0;
}
