#include "interrupt.h"

#include <string.h>
#include <unistd.h>

#define EXIT_INTERRUPTED 130 /* as OP_EXIT_INT */

static volatile sig_atomic_t interrupted;
static const char *said = "";

static void on_interrupt(int signo)
{
    (void)signo;
    if (interrupted) {
        _exit(EXIT_INTERRUPTED);
    }
    interrupted = 1;
    ssize_t ignored = write(STDERR_FILENO, said, strlen(said));
    (void)ignored;
}

const volatile sig_atomic_t *op_interrupt_catch(const char *text)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};

    said = text;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &interrupted;
}

bool op_interrupted(void)
{
    return interrupted != 0;
}
