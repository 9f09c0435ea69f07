/*
 * reason.h: every way a connection can end. One row gives the enum, the counter `closed_NAME`, the word in
 * the log, the end hook that runs, and the level of its line.
 */
#ifndef MARIO_BASE_REASON_H
#define MARIO_BASE_REASON_H

/*        name            hook           level             what happened */
#define REASONS(ROW)                                                                                         \
    ROW(peer_closed, g_akg_closed_id, MARIO_LOG_DEBUG)    /* a FIN; all answers were sent */                 \
    ROW(reset, g_akg_error_id, MARIO_LOG_DEBUG)           /* the socket failed: an RST */                    \
    ROW(peer_dead, g_akg_error_id, MARIO_LOG_DEBUG)       /* the kernel gave up: no answer */                \
    ROW(idle_timeout, g_akg_timeout_id, MARIO_LOG_DEBUG)  /* server.timeout seconds without a byte */        \
    ROW(packet_timeout, g_akg_timeout_id, MARIO_LOG_WARN) /* a packet was not complete in time */            \
    ROW(first_packet, g_akg_timeout_id, MARIO_LOG_DEBUG)  /* admit.first_packet: none was whole in time */   \
    ROW(limit, g_akg_error_id, MARIO_LOG_WARN)            /* it sent more than limit.packets, limit.bytes */ \
    ROW(write_timeout, g_akg_timeout_id, MARIO_LOG_WARN)  /* pending output did not shrink in time */        \
    ROW(bad_stx, g_akg_error_id, MARIO_LOG_WARN)          /* a packet with a wrong magic */                  \
    ROW(bad_length, g_akg_error_id, MARIO_LOG_WARN)       /* pkglen below 8 or above max_pkglen */           \
    ROW(bad_frame, g_akg_error_id, MARIO_LOG_WARN)        /* not the protocol of its listener */             \
    ROW(bad_upgrade, g_akg_error_id, MARIO_LOG_WARN)      /* an HTTP request that asks for no WebSocket */   \
    ROW(framing_error, g_akg_error_id, MARIO_LOG_ERR)     /* its framing answered what makes no sense */     \
    ROW(unknown_akg, g_akg_error_id, MARIO_LOG_WARN)    /* no function for this akg_id, or a reserved one */ \
    ROW(bad_proxy, g_akg_error_id, MARIO_LOG_WARN)      /* no PROXY header came, or a wrong one */           \
    ROW(tls_failed, g_akg_error_id, MARIO_LOG_WARN)     /* no TLS came, or its handshake failed */           \
    ROW(tls_timeout, g_akg_timeout_id, MARIO_LOG_DEBUG) /* its handshake was not over in time */             \
    ROW(tls_crowded, g_akg_error_id, MARIO_LOG_WARN)    /* it held a place that others waited for */         \
    ROW(tls_bad_record, g_akg_error_id, MARIO_LOG_WARN) /* after the handshake: a record that is none */     \
    ROW(output_limit, g_akg_error_id, MARIO_LOG_WARN)   /* more than output.max bytes pending */             \
    ROW(function_closed, g_akg_closed_id, MARIO_LOG_DEBUG) /* close_conn() */                                \
    ROW(function_error, g_akg_error_id,                                                                      \
        MARIO_LOG_WARN) /* a function returned non-zero, or close_err_conn() */                              \
    ROW(function_stuck, g_akg_error_id,                                                                      \
        MARIO_LOG_WARN) /* a function did not return: its thread was replaced */                             \
    ROW(function_died, g_akg_error_id, MARIO_LOG_WARN) /* a function ended its thread */                     \
    ROW(no_memory, g_akg_error_id, MARIO_LOG_WARN)     /* an allocation for this connection failed */        \
    ROW(poll_failed, g_akg_error_id, MARIO_LOG_WARN)   /* epoll would not watch it */                        \
    ROW(fd_closed, g_akg_error_id, MARIO_LOG_WARN)     /* the application closed its descriptor */           \
    ROW(kicked, g_akg_closed_id, MARIO_LOG_DEBUG)      /* mario_kick() */                                    \
    ROW(replaced, g_akg_closed_id, MARIO_LOG_DEBUG)    /* another login took its place */                    \
    ROW(slow_consumer, g_akg_error_id, MARIO_LOG_WARN) /* a message found no room */                         \
    ROW(push_memory, g_akg_error_id, MARIO_LOG_WARN)   /* it read least while messages took too much */      \
    ROW(drain, g_akg_closed_id, MARIO_LOG_DEBUG)       /* it was told to go elsewhere: mario_drain() */      \
    ROW(stop, g_akg_closed_id, MARIO_LOG_DEBUG)        /* the server stops */

enum reason {
    REASON_NONE,
#define ROW(name, hook, level) REASON_##name,
    REASONS(ROW)
#undef ROW
        REASON_COUNT
};

#endif
