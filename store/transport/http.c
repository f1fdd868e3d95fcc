#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "common/buf.h"
#include "common/mem.h"

#define CONNECTIONS_MAX 2000
#define STALL_S         60 /* not a byte for so long: given up */
#define DNS_KEEP_S      60L

struct http {
    struct cm_loop *loop;
    CURLM *multi;
    const char *ca_file;
    struct cm_timer *timer; /* libcurl's own */
    struct cm_timer *reap;  /* tells of what has ended, outside libcurl's calls */
    size_t open;
};

struct http_request {
    struct http *http;
    CURL *easy;
    struct curl_slist *headers, *resolve;
    struct peer_source source;
    int64_t (*body)(uint64_t offset, char *out, size_t size, void *ctx);
    uint64_t offset;
    struct cm_buf response;
    char why[CURL_ERROR_SIZE];
    http_cb cb;
    void *ctx;
};

/* A socket that libcurl watches: its descriptor stays libcurl's. */
struct watch {
    struct http *http;
    struct cm_io *io;
};

/* The loop and libcurl */

static void on_reap(void *ctx);

static void act(struct http *http, curl_socket_t fd, int events)
{
    int running;
    curl_multi_socket_action(http->multi, fd, events, &running);
    cm_timer_set(http->reap, 0);
}

static void on_socket(int fd, unsigned events, void *ctx)
{
    struct watch *watch = ctx;
    act(watch->http, fd,
        ((events & CM_IO_READ) ? CURL_CSELECT_IN : 0) |
            ((events & CM_IO_WRITE) ? CURL_CSELECT_OUT : 0));
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *mine)
{
    (void)easy;
    struct http *http = ctx;
    struct watch *watch = mine;
    if (what == CURL_POLL_REMOVE) {
        if (watch != NULL) {
            cm_io_free(&watch->io);
            free(watch);
            curl_multi_assign(http->multi, fd, NULL);
        }
        return 0;
    }
    unsigned events = ((what & CURL_POLL_IN) ? CM_IO_READ : 0u) |
                      ((what & CURL_POLL_OUT) ? CM_IO_WRITE : 0u);
    if (watch == NULL) {
        watch = cm_calloc(1, sizeof(*watch));
        watch->http = http;
        watch->io = cm_io_new(http->loop, fd, events, on_socket, watch);
        curl_multi_assign(http->multi, fd, watch);
    } else {
        cm_io_want(watch->io, events);
    }
    return 0;
}

static void on_timer(void *ctx)
{
    act(ctx, CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *multi, long ms, void *ctx)
{
    (void)multi;
    struct http *http = ctx;
    if (ms < 0) {
        cm_timer_stop(http->timer);
    } else {
        cm_timer_set(http->timer, ms);
    }
    return 0;
}

struct http *http_new(struct cm_loop *loop, const char *ca_file)
{
    static bool ready;
    if (!ready) {
        cm_assert(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
        ready = true;
    }
    struct http *http = cm_calloc(1, sizeof(*http));
    http->loop = loop;
    http->ca_file = ca_file;
    http->timer = cm_timer_new(loop, on_timer, http);
    http->reap = cm_timer_new(loop, on_reap, http);
    http->multi = curl_multi_init();
    cm_assert(http->multi != NULL);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_IDLE_MAX);
    curl_multi_setopt(http->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
                      (long)CONNECTIONS_MAX);
    return http;
}

void http_free(struct http **httpp)
{
    struct http *http = *httpp;
    if (http == NULL) {
        return;
    }
    cm_assert(http->open == 0);
    curl_multi_cleanup(http->multi);
    cm_timer_free(&http->timer);
    cm_timer_free(&http->reap);
    free(http);
    *httpp = NULL;
}

/* What a request is asked by libcurl */

static curl_socket_t open_socket(void *ctx, curlsocktype purpose,
                                 struct curl_sockaddr *address)
{
    (void)purpose;
    const struct http_request *r = ctx;
    int fd = socket(address->family, address->socktype | SOCK_NONBLOCK | SOCK_CLOEXEC,
                    address->protocol);
    if (fd >= 0 && peer_source_bind(&r->source, address->family, fd) != 0) {
        close(fd);
        fd = -1;
    }
    return fd >= 0 ? fd : CURL_SOCKET_BAD;
}

static size_t give_body(char *out, size_t size, size_t n, void *ctx)
{
    struct http_request *r = ctx;
    int64_t got = r->body(r->offset, out, size * n, r->ctx);
    if (got < 0) {
        return CURL_READFUNC_ABORT;
    }
    r->offset += (uint64_t)got;
    return (size_t)got;
}

/* libcurl begins anew when a kept connection turns out to be dead. */
static int seek_body(void *ctx, curl_off_t offset, int origin)
{
    struct http_request *r = ctx;
    if (origin != SEEK_SET || offset < 0) {
        return CURL_SEEKFUNC_CANTSEEK;
    }
    r->offset = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static size_t take_response(char *data, size_t size, size_t n, void *ctx)
{
    struct http_request *r = ctx;
    size_t len = size * n, room = r->response.max - r->response.len;
    cm_buf_add(&r->response, data, len < room ? len : room);
    return len;
}

/* The end of a request */

void http_cancel(struct http_request **rp)
{
    struct http_request *r = *rp;
    if (r == NULL) {
        return;
    }
    curl_multi_remove_handle(r->http->multi, r->easy);
    curl_easy_cleanup(r->easy);
    curl_slist_free_all(r->headers);
    curl_slist_free_all(r->resolve);
    cm_buf_clear(&r->response);
    r->http->open--;
    free(r);
    *rp = NULL;
}

static void finish(struct http_request *r, CURLcode code)
{
    long status = 0;
    curl_off_t tls_us = 0;
    struct cm_err err = {.kind = CM_ERR_NONE};
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(r->easy, CURLINFO_APPCONNECT_TIME_T, &tls_us);
    if (code != CURLE_OK) {
        status = 0;
        (void)cm_err_set(&err, CM_ERR_RETRY, "%s",
                         r->why[0] != '\0' ? r->why : curl_easy_strerror(code));
    }
    /* The request goes first, so that its callback may begin the next one. */
    char *body = cm_strndup(r->response.data, r->response.len);
    struct http_result result = {.status = (int)status,
                                 .connected = tls_us > 0,
                                 .body = body,
                                 .body_len = strlen(body)};
    http_cb cb = r->cb;
    void *ctx = r->ctx;
    http_cancel(&r);
    cb(&result, &err, ctx);
    free(body);
}

static void on_reap(void *ctx)
{
    struct http *http = ctx;
    CURLMsg *msg;
    int left;
    while ((msg = curl_multi_info_read(http->multi, &left)) != NULL) {
        if (msg->msg == CURLMSG_DONE) {
            struct http_request *r = NULL;
            CURLcode code = msg->data.result;
            curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&r);
            finish(r, code);
        }
    }
}

/* The beginning */

static void set_addresses(struct http_request *r, const struct http_options *o)
{
    struct cm_buf text;
    cm_buf_init(&text, 4096);
    /* "+": it ages like any other name, else the table would only grow. */
    cm_buf_fmt(&text, "+%s:%u:", o->host, o->port);
    size_t used = 0;
    for (size_t i = 0; i < o->address_count; i++) {
        char ip[INET6_ADDRSTRLEN];
        if (!peer_source_fits(o->source, o->addresses[i].family)) {
            continue;
        }
        peer_address_text(&o->addresses[i], ip);
        bool v6 = o->addresses[i].family == AF_INET6;
        cm_buf_fmt(&text, "%s%s%s%s", used++ > 0 ? "," : "", v6 ? "[" : "", ip,
                   v6 ? "]" : "");
    }
    struct peer_address self;
    if (!peer_address_parse(o->host, &self)) {
        cm_assert(used > 0); /* else libcurl would look the name up by itself */
        r->resolve = curl_slist_append(NULL, text.data);
        curl_easy_setopt(r->easy, CURLOPT_RESOLVE, r->resolve);
    }
    cm_buf_clear(&text);
}

static void set_url(struct http_request *r, const struct http_options *o)
{
    struct peer_address self;
    bool v6 = peer_address_parse(o->host, &self) && self.family == AF_INET6;
    char *url = o->port == 443 ? cm_asprintf("https://%s%s%s%s", v6 ? "[" : "", o->host,
                                             v6 ? "]" : "", o->path)
                               : cm_asprintf("https://%s%s%s:%u%s", v6 ? "[" : "",
                                             o->host, v6 ? "]" : "", o->port, o->path);
    curl_easy_setopt(r->easy, CURLOPT_URL, url);
    free(url);
}

static void set_body(struct http_request *r, const struct http_options *o)
{
    r->body = o->body;
    if (o->body != NULL) {
        curl_easy_setopt(r->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(r->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)o->body_len);
        curl_easy_setopt(r->easy, CURLOPT_READFUNCTION, give_body);
        curl_easy_setopt(r->easy, CURLOPT_READDATA, r);
        curl_easy_setopt(r->easy, CURLOPT_SEEKFUNCTION, seek_body);
        curl_easy_setopt(r->easy, CURLOPT_SEEKDATA, r);
        r->headers = curl_slist_append(r->headers, "Content-Type:");
    }
    for (size_t i = 0; o->headers != NULL && o->headers[i] != NULL; i++) {
        r->headers = curl_slist_append(r->headers, o->headers[i]);
    }
    curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers);
    curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, take_response);
    curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r);
}

static void set_connection(struct http_request *r, const struct http_options *o)
{
    CURL *e = r->easy;
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(e, CURLOPT_PROXY, ""); /* not from the environment */
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT, DNS_KEEP_S);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, r);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)o->connect_ms);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)o->total_ms);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
    curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(e, CURLOPT_CAINFO, r->http->ca_file);
    curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, o->verify ? 1L : 0L);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, o->verify ? 2L : 0L);
    curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, o->fresh ? 1L : 0L);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, r->why);
    curl_easy_setopt(e, CURLOPT_PRIVATE, r);
}

struct http_request *http_start(struct http *http, const struct http_options *o,
                                http_cb cb, void *ctx)
{
    struct http_request *r = cm_calloc(1, sizeof(*r));
    r->http = http;
    r->easy = curl_easy_init();
    cm_assert(r->easy != NULL);
    r->source = *o->source;
    r->cb = cb;
    r->ctx = ctx;
    cm_buf_init(&r->response, o->response_max);
    set_connection(r, o);
    set_url(r, o);
    set_addresses(r, o);
    set_body(r, o);
    http->open++;
    cm_assert(curl_multi_add_handle(http->multi, r->easy) == CURLM_OK);
    return r;
}
