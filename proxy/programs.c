#include "programs.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <bpf/libbpf.h>

static char complaint[160];

static int listen_to(enum libbpf_print_level level, const char *fmt, va_list ap)
{
    if (level == LIBBPF_WARN && complaint[0] == '\0') {
        vsnprintf(complaint, sizeof(complaint), fmt, ap);
        complaint[strcspn(complaint, "\n")] = '\0';
    }
    return 0;
}

void px_programs_listen(void)
{
    libbpf_set_print(listen_to);
    complaint[0] = '\0';
}

const char *px_programs_complaint(void)
{
    return complaint[0] != '\0' ? complaint : strerror(errno);
}
