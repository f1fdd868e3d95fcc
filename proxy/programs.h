/* programs: of the kernel (eBPF), loaded by libbpf, with what that has to say where an
 * error's text goes, and not on stderr. */
#ifndef PX_PROGRAMS_H
#define PX_PROGRAMS_H

/* From here on libbpf's first complaint is kept. */
void px_programs_listen(void);
/* It; or what errno says when there was none. Valid until the next of these calls. */
const char *px_programs_complaint(void);

/* All are loaded: this thread, those that it begins and the programs that it runs give
 * up CAP_PERFMON, with which others could be loaded that read the kernel's memory. */
void px_programs_loaded(void);

#endif
