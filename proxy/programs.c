#include "programs.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

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

void px_programs_loaded(void)
{
    struct __user_cap_header_struct who = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    struct __user_cap_data_struct *has = &sets[CAP_TO_INDEX(CAP_PERFMON)];

    if (syscall(SYS_capget, &who, sets) == 0) {
        has->effective &= ~CAP_TO_MASK(CAP_PERFMON);
        has->permitted &= ~CAP_TO_MASK(CAP_PERFMON);
        has->inheritable &= ~CAP_TO_MASK(CAP_PERFMON);
        (void)syscall(SYS_capset, &who, sets);
    }
}
