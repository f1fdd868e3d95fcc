#include "pulse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/inetsum.h"
#include "common/mem.h"

#define ECHO_REPLY   0
#define ECHO_REQUEST 8
#define PACKET_MAX   256

struct pulse {
    struct cm_io *io;
    struct cm_timer *timer;
    int fd;
    uint16_t id, seq;
    int64_t heard;
    bool alive;
    void (*changed)(bool alive, void *ctx);
    void *ctx;
};

size_t pulse_request(uint16_t id, uint16_t seq, unsigned char out[16])
{
    memset(out, 0, 16);
    out[0] = ECHO_REQUEST;
    out[4] = (unsigned char)(id >> 8);
    out[5] = (unsigned char)id;
    out[6] = (unsigned char)(seq >> 8);
    out[7] = (unsigned char)seq;
    uint16_t sum = cm_inetsum_done(cm_inetsum_add(0, out, 16));
    memcpy(out + 2, &sum, sizeof(sum));
    return 16;
}

bool pulse_is_reply(const unsigned char *packet, size_t len, uint16_t id)
{
    size_t ip = len > 0 ? (size_t)(packet[0] & 15) * 4 : 0;

    return ip >= 20 && len >= ip + 8 && packet[ip] == ECHO_REPLY &&
           packet[ip + 1] == 0 && (packet[ip + 4] << 8 | packet[ip + 5]) == id;
}

static void set_alive(struct pulse *pulse, bool alive)
{
    if (pulse->alive != alive) {
        pulse->alive = alive;
        pulse->changed(alive, pulse->ctx);
    }
}

static void on_packet(int fd, unsigned events, void *ctx)
{
    struct pulse *pulse = ctx;
    unsigned char packet[PACKET_MAX];
    ssize_t n;
    bool heard = false;

    (void)events;
    while ((n = recv(fd, packet, sizeof(packet), 0)) > 0) {
        heard = heard || pulse_is_reply(packet, (size_t)n, pulse->id);
    }
    if (heard) {
        pulse->heard = cm_now_mono_ms();
        set_alive(pulse, true);
    }
}

/* A packet that cannot be sent is as good as one that was lost. */
static void on_timer(void *ctx)
{
    struct pulse *pulse = ctx;
    unsigned char request[16];
    size_t n = pulse_request(pulse->id, ++pulse->seq, request);

    (void)send(pulse->fd, request, n, MSG_NOSIGNAL);
    cm_timer_set(pulse->timer, PULSE_EVERY_MS);
    if (cm_now_mono_ms() - pulse->heard >= PULSE_DEAD_MS) {
        set_alive(pulse, false);
    }
}

struct pulse *pulse_new(struct cm_loop *loop, const struct in_addr *store,
                        void (*changed)(bool alive, void *ctx), void *ctx,
                        struct cm_err *err)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = *store};
    int fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMP);

    /* Connected: only what comes from the store is heard. */
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        cm_err_set(err, CM_ERR_WORLD, "cannot ask whether the store lives: %s",
                   strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    struct pulse *pulse = cm_calloc(1, sizeof(*pulse));
    *pulse = (struct pulse){.fd = fd,
                            .heard = cm_now_mono_ms(),
                            .alive = true,
                            .changed = changed,
                            .ctx = ctx};
    cm_assert(getrandom(&pulse->id, sizeof(pulse->id), 0) == sizeof(pulse->id));
    pulse->io = cm_io_new(loop, fd, CM_IO_READ, on_packet, pulse);
    pulse->timer = cm_timer_new(loop, on_timer, pulse);
    cm_timer_set(pulse->timer, 0);
    return pulse;
}

void pulse_free(struct pulse **pulse)
{
    if (*pulse == NULL) {
        return;
    }
    cm_io_free(&(*pulse)->io);
    cm_timer_free(&(*pulse)->timer);
    close((*pulse)->fd);
    free(*pulse);
    *pulse = NULL;
}

bool pulse_alive(const struct pulse *pulse)
{
    return pulse->alive;
}

int64_t pulse_heard_ms(const struct pulse *pulse)
{
    return pulse->heard;
}
