/*
 * mario_compat.h: what a program written against MarioTCP 0.9.9 finds besides functions and types: the system
 * headers that came along, constants, two variables, and log calls that bring their own semicolon. mario.h
 * includes it. Who wants these names for himself defines MARIO_NO_COMPAT before including mario.h.
 */
#ifndef MARIO_COMPAT_H
#define MARIO_COMPAT_H

#include <arpa/inet.h>
#include <errno.h>
#include <event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "mario_akg.h"
#include "mario_conn.h"
#include "mario_log.h"
#include "mario_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Types ---- */

__extension__ typedef void (*sighandler_t)(int);
__extension__ typedef unsigned char u_char;

/* The tags of 0.9.9; _CONN and _HEAD are the tags themselves, see mario_conn.h and mario_akg.h. */
#ifndef _WORKER
#define _WORKER mario_worker
#endif
#ifndef _SERVER
#define _SERVER mario_server
#endif
#ifndef _LOG_QUEUE
#define _LOG_QUEUE mario_log_queue
#endif

/* ---- Constants, with 0.9.9's values ---- */

#ifndef MAX_PKG_LEN
#define MAX_PKG_LEN (1500) /* the largest packet that a server of init_server() accepts, bytes */
#endif
#ifndef CONN_BUF_LEN
#define CONN_BUF_LEN (2048) /* c->out_buf has at least so many bytes, whatever sizeof says of it now */
#endif
#ifndef MAX_BUF_READ_LEN
#define MAX_BUF_READ_LEN (1791)
#endif
#ifndef MAX_CONN_ARRAY_SIZE
#define MAX_CONN_ARRAY_SIZE (131072)
#endif
#ifndef MAX_PKG_TYPE
#define MAX_PKG_TYPE (0xffff)
#endif
#ifndef MAX_LOG_LINE_LENGTH
#define MAX_LOG_LINE_LENGTH (2048) /* what record_log() and slog_*() take is less: see there */
#endif
#ifndef CONN_READ_TIMEOUT
#define CONN_READ_TIMEOUT (300) /* seconds */
#endif
#ifndef CONN_WRITE_TIMEOUT
#define CONN_WRITE_TIMEOUT (300) /* seconds */
#endif

/* ---- Variables ---- */

/* The functions by akg_id, the hooks at the reserved ids. regist_akg_func() and the hooks' regist_*() write
 * here; start_server() takes what it finds, so a program may also write here itself, before that and from the
 * thread that registers. What is written while the server runs counts for the next one of the process. An id
 * whose function is offloaded is NULL here; a function put there takes its place. */
extern FUNC_PTR AKG_FUNC[0x10000];

/* The magic that every packet starts with. regist_stx() sets it and start_server() takes it; before that a
 * program may set it itself, on the thread that registers. Any thread may read it while the server runs. */
extern uint32 g_stx;

/* ---- Logging ---- */

/* In 0.9.9 these ended in a semicolon of their own, so a call without one was good. Its programs are all built
 * with LINUX32 or LINUX64, which named the integer types. */
#if defined LINUX32 || defined LINUX64
#undef slog_err
#undef slog_err_t
#undef slog_err_t_w
#undef slog_warn
#undef slog_warn_t
#undef slog_warn_t_w
#undef slog_info
#undef slog_info_t
#undef slog_info_t_w
#define slog_err(q, ...)      mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_ERR, 0, 0, __VA_ARGS__);
#define slog_err_t(q, ...)    mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_ERR, 1, 0, __VA_ARGS__);
#define slog_err_t_w(q, ...)  mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_ERR, 1, __func__, __VA_ARGS__);
#define slog_warn(q, ...)     mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_WARN, 0, 0, __VA_ARGS__);
#define slog_warn_t(q, ...)   mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_WARN, 1, 0, __VA_ARGS__);
#define slog_warn_t_w(q, ...) mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_WARN, 1, __func__, __VA_ARGS__);
#define slog_info(q, ...)     mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_INFO, 0, 0, __VA_ARGS__);
#define slog_info_t(q, ...)   mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_INFO, 1, 0, __VA_ARGS__);
#define slog_info_t_w(q, ...) mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_INFO, 1, __func__, __VA_ARGS__);
#endif

#ifdef __cplusplus
}
#endif

#endif
