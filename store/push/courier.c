#include "courier.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <curl/curl.h>

#include "common/mem.h"

#define IDLE_MAX    64   /* handles kept for the next requests */
#define BUFFER_SIZE 2048 /* answers are short */

struct parcel {
    struct parcel *prev, *next; /* under way, or idle */
    struct courier *courier;
    CURL *easy;
    courier_cb cb;
    void *ctx;
    bool again; /* it has been posted twice */
    char why[CURL_ERROR_SIZE];
};

struct courier {
    struct cm_loop *loop;
    CURLM *multi;
    struct curl_slist *headers;
    struct cm_timer *timer;
    char *ca;
    char *url;
    struct parcel *busy, *idle;
    size_t busy_count, idle_count;
    bool without_h2;
};

static void list_put(struct parcel **list, struct parcel *p)
{
    p->prev = NULL;
    p->next = *list;
    if (*list != NULL) {
        (*list)->prev = p;
    }
    *list = p;
}

static void list_drop(struct parcel **list, struct parcel *p)
{
    if (p->prev != NULL) {
        p->prev->next = p->next;
    } else {
        *list = p->next;
    }
    if (p->next != NULL) {
        p->next->prev = p->prev;
    }
}

/* Handles */

static size_t ignore(char *data, size_t size, size_t count, void *ctx)
{
    (void)data;
    (void)ctx;
    return size * count;
}

/* Without it a path that swallows packets is noticed by the kernel after a quarter of
 * an hour, and libcurl keeps an HTTP/2 connection whose requests time out. */
static int on_socket_made(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
    unsigned limit = COURIER_UNHEARD_MS;
    (void)ctx;
    (void)purpose;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof(limit));
    return CURL_SOCKOPT_OK;
}

static void must(CURLcode rc)
{
    cm_assert(rc == CURLE_OK);
}

static void must_multi(CURLMcode rc)
{
    cm_assert(rc == CURLM_OK);
}

static struct parcel *parcel_new(struct courier *courier)
{
    struct parcel *p = cm_calloc(1, sizeof(*p));
    CURL *easy = curl_easy_init();
    cm_assert(easy != NULL);
    p->courier = courier;
    p->easy = easy;
    must(curl_easy_setopt(easy, CURLOPT_PRIVATE, p));
    must(curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, p->why));
    must(curl_easy_setopt(easy, CURLOPT_POST, 1L));
    must(curl_easy_setopt(easy, CURLOPT_HTTPHEADER, courier->headers));
    must(curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS));
    must(curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L));
    must(curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https"));
    must(curl_easy_setopt(easy, CURLOPT_PROXY, ""));
    must(curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L));
    /* Never waits for a thread that asks a name server which does not answer. */
    must(curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L));
    must(curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)BUFFER_SIZE));
    must(curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore));
    must(curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket_made));
    must(curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, (long)COURIER_CONNECTION_S));
    must(curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)COURIER_LIMIT_MS));
    must(curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)COURIER_CONNECT_MS));
    if (courier->ca != NULL) {
        must(curl_easy_setopt(easy, CURLOPT_CAINFO, courier->ca));
    }
    return p;
}

static void parcel_free(struct parcel *p)
{
    curl_easy_cleanup(p->easy);
    free(p);
}

static struct parcel *parcel_take(struct courier *courier)
{
    struct parcel *p = courier->idle;
    if (p == NULL) {
        return parcel_new(courier);
    }
    list_drop(&courier->idle, p);
    courier->idle_count--;
    return p;
}

static void parcel_back(struct courier *courier, struct parcel *p)
{
    if (courier->idle_count >= IDLE_MAX) {
        parcel_free(p);
        return;
    }
    list_put(&courier->idle, p);
    courier->idle_count++;
}

/* What is done */

static void set_connections(struct courier *courier, bool without_h2)
{
    long max = without_h2 ? COURIER_WITHOUT_H2_MAX : COURIER_CONNECTIONS_MAX;
    courier->without_h2 = without_h2;
    must_multi(curl_multi_setopt(courier->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, max));
}

static void note_version(struct courier *courier, const struct parcel *p)
{
    long version = 0;
    must(curl_easy_getinfo(p->easy, CURLINFO_HTTP_VERSION, &version));
    bool without_h2 = version != CURL_HTTP_VERSION_2_0;
    if (without_h2 != courier->without_h2) {
        set_connections(courier, without_h2);
    }
}

/* Did it break with a connection that others had used before? Then that says nothing
 * about this request. Services end a connection after so many requests, and soon when
 * libcurl 7.88 talks to them: it resets each stream that has ended, and libnghttp2
 * bears a thousand of those. */
static bool was_cut_off(const struct parcel *p, CURLcode rc)
{
    long made = 1;
    must(curl_easy_getinfo(p->easy, CURLINFO_NUM_CONNECTS, &made));
    return made == 0 && (rc == CURLE_SEND_ERROR || rc == CURLE_RECV_ERROR ||
                         rc == CURLE_HTTP2 || rc == CURLE_HTTP2_STREAM ||
                         rc == CURLE_GOT_NOTHING || rc == CURLE_PARTIAL_FILE);
}

static void finish(struct courier *courier, struct parcel *p, CURLcode rc)
{
    courier_cb cb = p->cb;
    void *ctx = p->ctx;
    long status = 0;
    char why[CURL_ERROR_SIZE];
    curl_multi_remove_handle(courier->multi, p->easy);
    if (!p->again && was_cut_off(p, rc)) {
        p->again = true;
        p->why[0] = '\0';
        must_multi(curl_multi_add_handle(courier->multi, p->easy));
        return;
    }
    snprintf(why, sizeof(why), "%s",
             p->why[0] != '\0' ? p->why : curl_easy_strerror(rc));
    if (rc == CURLE_OK) {
        must(curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &status));
        note_version(courier, p);
    }
    list_drop(&courier->busy, p);
    courier->busy_count--;
    parcel_back(courier, p);
    cb((int)status, why, ctx);
}

static void finish_all(struct courier *courier)
{
    CURLMsg *msg;
    int left;
    while ((msg = curl_multi_info_read(courier->multi, &left)) != NULL) {
        struct parcel *p = NULL;
        CURLcode rc = msg->data.result; /* msg does not outlive the handle */
        must(curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &p));
        finish(courier, p, rc);
    }
}

/* libcurl's sockets and its timer on the loop */

static void act(struct courier *courier, curl_socket_t fd, int events)
{
    int running;
    cm_assert(curl_multi_socket_action(courier->multi, fd, events, &running) ==
              CURLM_OK);
    finish_all(courier);
}

static void on_io(int fd, unsigned events, void *ctx)
{
    act(ctx, fd,
        ((events & CM_IO_READ) ? CURL_CSELECT_IN : 0) |
            ((events & CM_IO_WRITE) ? CURL_CSELECT_OUT : 0));
}

static void on_timer(void *ctx)
{
    act(ctx, CURL_SOCKET_TIMEOUT, 0);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket)
{
    struct courier *courier = ctx;
    struct cm_io *io = socket;
    unsigned events = ((what & CURL_POLL_IN) ? CM_IO_READ : 0u) |
                      ((what & CURL_POLL_OUT) ? CM_IO_WRITE : 0u);
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        cm_io_free(&io);
    } else if (io != NULL) {
        cm_io_want(io, events);
    } else {
        io = cm_io_new(courier->loop, fd, events, on_io, courier);
        curl_multi_assign(courier->multi, fd, io);
    }
    return 0;
}

static int on_timeout(CURLM *multi, long after_ms, void *ctx)
{
    struct courier *courier = ctx;
    (void)multi;
    if (after_ms < 0) {
        cm_timer_stop(courier->timer);
    } else {
        cm_timer_set(courier->timer, after_ms);
    }
    return 0;
}

struct courier *courier_new(struct cm_loop *loop, const char *ca)
{
    struct courier *courier = cm_calloc(1, sizeof(*courier));
    must(curl_global_init(CURL_GLOBAL_DEFAULT));
    courier->loop = loop;
    courier->ca = cm_strdup(ca);
    courier->url = cm_strdup("");
    courier->timer = cm_timer_new(loop, on_timer, courier);
    /* A name without a value: libcurl leaves that header out. */
    courier->headers = curl_slist_append(NULL, "Content-Type:");
    courier->headers = curl_slist_append(courier->headers, "Expect:");
    cm_assert(courier->headers != NULL);
    CURLM *multi = curl_multi_init();
    cm_assert(multi != NULL);
    courier->multi = multi;
    must_multi(curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket));
    must_multi(curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, courier));
    must_multi(curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timeout));
    must_multi(curl_multi_setopt(multi, CURLMOPT_TIMERDATA, courier));
    must_multi(curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX));
    set_connections(courier, false);
    return courier;
}

void courier_free(struct courier **courierp)
{
    struct courier *courier = *courierp;
    if (courier == NULL) {
        return;
    }
    *courierp = NULL;
    struct parcel *p;
    while ((p = courier->busy) != NULL) {
        curl_multi_remove_handle(courier->multi, p->easy);
        list_drop(&courier->busy, p);
        parcel_free(p);
    }
    while ((p = courier->idle) != NULL) {
        list_drop(&courier->idle, p);
        parcel_free(p);
    }
    curl_multi_cleanup(courier->multi);
    curl_slist_free_all(courier->headers);
    cm_timer_free(&courier->timer);
    free(courier->ca);
    free(courier->url);
    free(courier);
    curl_global_cleanup();
}

void courier_set_url(struct courier *courier, const char *url)
{
    free(courier->url);
    courier->url = cm_strdup(url);
    set_connections(courier, false);
}

size_t courier_room(const struct courier *courier, size_t max)
{
    if (courier->without_h2 && max > COURIER_WITHOUT_H2_MAX) {
        max = COURIER_WITHOUT_H2_MAX;
    }
    return courier->busy_count < max ? max - courier->busy_count : 0;
}

void courier_post(struct courier *courier, const void *token, size_t len, courier_cb cb,
                  void *ctx)
{
    struct parcel *p = parcel_take(courier);
    p->cb = cb;
    p->ctx = ctx;
    p->why[0] = '\0';
    p->again = false;
    list_put(&courier->busy, p);
    courier->busy_count++;
    must(curl_easy_setopt(p->easy, CURLOPT_URL, courier->url));
    must(curl_easy_setopt(p->easy, CURLOPT_POSTFIELDS, token)); /* not copied */
    must(curl_easy_setopt(p->easy, CURLOPT_POSTFIELDSIZE, (long)len));
    must_multi(curl_multi_add_handle(courier->multi, p->easy));
}
