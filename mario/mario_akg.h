/*
 * mario_akg.h: the packet head, and registering business functions and hooks.
 *
 * Registering happens before start_server(), from one thread; what is registered stays for later servers of the
 * process, also when an init fails. Functions and hooks run on the worker that owns the connection; they must not
 * block. Functions that have to are registered as offloaded.
 */
#ifndef MARIO_AKG_H
#define MARIO_AKG_H

#include "mario_conn.h"
#include "mario_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A business function or hook. From a business function 0 goes on, anything else closes the connection; from
 * the connected hook too; an end hook's answer is not looked at. */
typedef sint32 (*FUNC_PTR)(CONN *c);

/* The head of every packet on the wire, little-endian, no padding (docs/design.md: wire format). The tag is 0.9.9's. */
#define mario_head _HEAD
typedef struct _HEAD {
    uint32 stx;    /* magic, see regist_stx() */
    uint16 pkglen; /* length of the whole packet, head included: 8 .. max_pkglen */
    uint16 akg_id; /* selects the business function: 0x0000 .. 0xfffb */
} __attribute__((packed)) HEAD;

#define SIZE_OF_HEAD ((uint16) 8)
#define DEFAULT_STX  (0xffffffffu)

/* The reserved ids: never accepted from the wire. As err_type they tell an end hook how the connection ended;
 * as reason_id of close_conn() they choose which end hook runs. */
enum {
    g_akg_connected_id = 0xfffc,
    g_akg_timeout_id = 0xfffd,
    g_akg_closed_id = 0xfffe,
    g_akg_error_id = 0xffff
};

/* Register f for packets with this akg_id; a second call replaces, NULL removes, also one that is offloaded.
 * Returns 0, or -1 for a reserved id (0xfffc .. 0xffff), once the server runs, or, with a line on standard
 * error, if the id is offloaded and f is not NULL. */
sint32 regist_akg_func(uint16 id, FUNC_PTR f);

/* Register f, which may block: it runs on a thread of a pool (options offload_threads, offload_queue), and its
 * worker goes on serving others. The same signature, the same body. While f runs the connection is not read,
 * and its other packets wait: all of one connection, inline and offloaded, are handled one after another in
 * the order they came. A timeout for silence does not run meanwhile.
 *
 * c is a copy for this call, valid until f returns: in_buf, out_buf, bufev, cip, cport, err_type, fd, ind and
 * close_conn(c) work as ever. What f stores in c->user is there for the next function and for the end hook.
 * c->owner->ind is the number of the connection's worker, but f does not run on it: what workers keep for
 * themselves is not f's to touch. c->owner->qlog is the thread's own; c->owner->base is NULL. close_conn() on
 * another connection does nothing. What f writes is sent when it has returned; if the connection has ended by
 * then it is dropped and counted (offload_dropped), and the end hook runs after f. A thread that ends in f
 * (pthread_exit, pthread_cancel) ends the connection with function_died, and is replaced.
 *
 * Returns 0, or -1 with a line on standard error: a reserved id, an id that is registered already (remove it
 * first), f is NULL, or the server runs. */
sint32 regist_akg_func_offload(uint16 id, FUNC_PTR f);

/* The same, but nothing of the connection waits for f: it is read on, and several of its functions may run at
 * the same time, on several threads. Replies come in the order in which functions return. c->user is a copy;
 * what f stores there is not kept, and what it points to may be in use by other threads. At most 254 of one
 * connection run or wait at a time; then it is not read. */
sint32 regist_akg_func_offload_concurrent(uint16 id, FUNC_PTR f);

/* Hooks, each at most one function: a second call replaces, NULL removes; all return 0, or -1 once the server runs.
 * For each connection whose connected hook ran, exactly one end hook runs later on the same thread, or on its
 * successor's if that was replaced meanwhile (docs/takeover.md), also when the server stops:
 *   timeout   silent, slow packet or slow reader (idle_timeout, packet_timeout, write_timeout)
 *   error     the connection broke or misbehaved, or a function failed
 *   closed    everything else: the peer closed, a function closed, the server stops
 * What an end hook writes is not sent any more: it is dropped and counted (writes_outside). */
sint32 regist_connected_func(FUNC_PTR f);
sint32 regist_closed_func(FUNC_PTR f);
sint32 regist_timeout_func(FUNC_PTR f);
sint32 regist_error_func(FUNC_PTR f);
sint32 regist_disconnected_func(FUNC_PTR f); /* closed, timeout and error together */

/* The function for connections that leave since the server drains (mario_drain()): called on the connection's worker
 * when it has answered what the client had sent by then, right before it closes the connection with reason drain. What
 * it writes is sent: a packet that says "go elsewhere", say. What it returns is not looked at. At most one; NULL
 * removes. 0, or -1 once the server runs. */
sint32 regist_leave_func(FUNC_PTR f);

/* The function for urgent data: called on the connection's worker, of connections that came by a listener with
 * oob=mark, when all that the peer sent in front of the byte that it sent as urgent (MSG_OOB) has been received, and
 * its whole packets handed out; that byte is what comes next, and is data like any other. No packet: in_buf is NULL.
 * Of several urgent bytes that are on their way together the last one counts. What it writes is sent; another value
 * than 0 closes the connection. At most one; NULL removes. 0, or -1 once the server runs. */
sint32 regist_urgent_func(FUNC_PTR f);

/* In a leave function: after how many seconds this client is to come back, or go elsewhere: 1 .. drain_spread,
 * another number for each, so that they do not all come at once; 0 if drain_spread is 0, and everywhere else. */
uint32 mario_leave_seconds(const CONN *c);

/* The magic that every packet must start with. Without a call it is DEFAULT_STX.
 * Returns 0, or -1 once the server runs. */
sint32 regist_stx(uint32 stx);

/* Close c. May be called from c's own functions and hooks, and, not from an offloaded function, for another
 * connection of the same worker; a second call does nothing. What the function has written before is sent, what
 * it writes afterwards is dropped; packets that wait behind are not looked at; the end hook runs after the
 * function has returned.
 * reason_id: g_akg_timeout_id runs the timeout hook, g_akg_error_id the error hook, any other value the
 * closed hook; it is handed to the hook in c->err_type. */
void close_conn(CONN *c, uint16 reason_id);

/* close_conn(c, g_akg_error_id): the way to end a connection that sent nonsense. */
void close_err_conn(CONN *c);

#ifdef __cplusplus
}
#endif

#endif
