/*
 * commands.h: the commands of testapp, for testapp and for the tests that ask it. Numbers are little-endian.
 * "Echoes" means: the packet itself is the answer. With test.offload = on each command but
 * TEST_CLOSE_OTHER and its like is there twice more: offloaded, and offloaded and concurrent.
 */
#ifndef TESTAPP_COMMANDS_H
#define TESTAPP_COMMANDS_H

#include <stdint.h>

enum testapp_cmd {
    TEST_ECHO = 0x6103,        /* anything; echoes */
    TEST_STATS = 0x7000,       /* -> "name=value name=value ...": mario_stat and the app's own counters */
    TEST_RETURN = 0x7001,      /* sint32 value; echoes, then returns value */
    TEST_MEGABYTE = 0x7002,    /* -> 1 MiB in 128 packets of 8192 bytes, data all 'r' */
    TEST_CLOSE = 0x7003,       /* test_end; close_conn twice, then writes, returns value */
    TEST_WRITE_CLOSE = 0x7004, /* test_end; echoes, close_conn, echoes again, returns value */
    TEST_CLOSE_ERR = 0x7005,   /* close_err_conn, twice; returns 0 */
    TEST_SLEEP = 0x7006,       /* uint32 ms; the worker sleeps, then echoes */
    TEST_REPLY = 0x7007,       /* uint32 n >= 8; n bytes in packets of up to 8192, data all 'r' */
    TEST_AMPLIFY = 0x7008,     /* uint32 n, then anything; echoes n times */
    TEST_CANARY = 0x7009,      /* uint64 token; keeps the first, others must be the same; -> what is kept */
    TEST_CLOSE_OTHER =
        0x700a,             /* uint16 port; closes the worker's connection with that cport; -> uint8 found */
    TEST_WHO = 0x700b,      /* -> test_who */
    TEST_STOP = 0x700c,     /* mario_stop_server, then echoes */
    TEST_REGISTER = 0x700d, /* tries every regist_ function; -> int32 each: all must be -1 */
    TEST_SILENT = 0x700e,   /* anything; returns 0 and answers nothing */
    TEST_DIE = 0x700f,      /* uint32 test_death: the whole process dies */
    TEST_STALL = 0x7010,    /* uint32 ms; echoes; soon after the master sleeps for so long */
    TEST_NAP = 0x7011,      /* anything; sleeps 1 ms, then echoes */
    TEST_USER = 0x7012,     /* anything; moves what c->user points to, then echoes. Not concurrent */
    TEST_VANISH = 0x7013,   /* uint32 0: echoes, then pthread_exit; 1: the same, cancelled. Not inline */
    TEST_HANG = 0x7014,     /* never returns */
    TEST_SIGPIPE = 0x7015,  /* SIGPIPE kills from here on; echoes into a connection that it has shut down */
    /* A path; blocks until there is such a file, then echoes. */
    TEST_WAIT_FILE = 0x7070,
    /* A bare head comes back; a millisecond later the c->bufev that its function had is written to. Inline only. */
    TEST_KEEP_BUFEV = 0x7071,
    TEST_STICK = 0x7020,   /* uint32 test_place; blocks there until TEST_UNSTICK comes; the function echoes */
    TEST_UNSTICK = 0x7021, /* all that block return; then echoes */
    TEST_END_THREAD = 0x7022, /* uint32 test_place; ends its thread there with pthread_exit() */
    TEST_CANCEL = 0x7023,     /* uint32 test_place; cancels its thread; if it lives on, echoes */
    TEST_SCHED = 0x7024,      /* -> test_sched: of the thread that runs it */
    TEST_SPIN = 0x7030,       /* anything; computes for 50 us, then answers a bare head */
    TEST_SIGHT = 0x7031,      /* text -> uint32: its length if it is read up to a zero byte */
    TEST_PEER = 0x7032,       /* -> what mario_peer() says; checks the rest of it */
    TEST_PROXY = 0x7034,      /* -> text: what mario_proxy_peer() and its like say; checks the rest of them */
    TEST_URGENT = 0x7035,     /* only sent, without data: the function for urgent data */
    TEST_DATAGRAM = 0x7036,   /* -> test_datagram, if it came as one; then leaves something in c->user */
    TEST_TLS = 0x7037,        /* -> text: what mario_tls_info() says, "none" without TLS */
    TEST_REFERENCE = 0x7060,  /* test_reference; answers with memory that has a cleanup */
    TEST_WRITE_OTHER =
        0x7061, /* uint16 port; writes to the worker's connection with that cport, and what it writes
                                  last has a cleanup that closes; -> uint8 found */
    TEST_MAY_WAIT = 0x7062, /* makes its socket a blocking one, echoes */
    TEST_OWN_TIMER =
        0x7069, /* uint32 ms: a timer of its own on the worker's loop blocks so long. Inline only */
    TEST_OWN_EVENT = 0x7063, /* an event of its own on the worker's loop, always ready; echoes. Inline only */
    TEST_OWN_SIGNAL = 0x7065, /* waits for USR2 on the worker's loop; echoes. Inline only */
    TEST_RELOAD = 0x7033,     /* test_reload; echoes; soon after the master has the server use it, so often */
    TEST_CLOSE_FD = 0x7064,   /* uint32 test_close_fd: closes its own descriptor; see there */
    TEST_PUSH = 0x7080,       /* test_order, so many; does them; -> test_done of each that is no other's */
    TEST_PUSHED = 0x7081,     /* only sent: test_pushed, then 'p': what the orders send */
    TEST_WROTE = 0x7082,      /* only sent: the same by ORDER_WRITE */
    TEST_CALLED =
        0x7083, /* only sent: test_called: a function of ORDER_RUN, _TIMER, _EACH, _AT_BOUND begins */
    TEST_RECEIPTS = 0x7084, /* -> test_receipt of each, the last ones that came */
    TEST_NUMBERED = 0x7085, /* only sent: test_numbered, then 'p': what orders with ORDER_STAMP send */
    TEST_ASKED = 0x7086,    /* only sent: test_asked: the answer to ORDER_ASK_USER, _GROUP */
    TEST_RESUMED = 0x7087,  /* only sent: test_resumed: what became of ORDER_RESUME */
    TEST_EVENTS = 0x7088,   /* -> test_event of each, the last ones of the cluster, the oldest first */
    TEST_LEAVING = 0x7089,  /* only sent: uint32, what mario_leave_seconds() says */
    TEST_TEXT = 0x708a,     /* only sent: what orders with ORDER_TEXT send */
    TEST_FRAMED = 0x7090,   /* anything; what in_buf shows as a packet of the listener's framing */
    TEST_OFFLOADED = 0x100, /* to be added to a command */
    TEST_CONCURRENT = 0x200 /* to be added instead */
};

/* A byte of the framing `mad`, which answers nonsense; any other byte is a packet. */
enum test_mad {
    MAD_NEED_0 = '0',       /* OK, of no bytes */
    MAD_NEED_MORE = '1',    /* OK, of more bytes than there are */
    MAD_SHOWS_MORE = '2',   /* OK, and shows what it has not taken */
    MAD_SHOWS_AROUND = '3', /* the same, and the sum does not fit */
    MAD_ID = '4',           /* a reserved id */
    MAD_MORE_OF_LESS = '5', /* MORE, up to what is there */
    MAD_SKIP_0 = '6',       /* SKIP, of no bytes */
    MAD_ANSWER = '7',       /* none of the answers */
    MAD_BAD = '8',          /* no nonsense: BAD, with a fault of its own */
    MAD_STICKS = '9',       /* does not return until TEST_UNSTICK */
    MAD_CLOSES = 'C',       /* closes its connection, and says OK */
    MAD_ENDS_THREAD = 'X'
};

enum test_place {
    TEST_IN_FUNCTION,
    TEST_IN_END_HOOK, /* closes, and does it in the end hook of its connection */
    TEST_UNTIL_TWICE, /* TEST_STICK: in the function, until TEST_UNSTICK has come twice */
    TEST_AND_SAY,     /* TEST_STICK: in the function, which logs "stuck no more" then */
    TEST_THEN_ABORT,  /* TEST_STICK: in the function, which calls abort() then */
    TEST_THEN_LINGER, /* TEST_STICK: in the function; and its thread ends only after one TEST_UNSTICK more */
    TEST_LATER,       /* TEST_CANCEL: it takes effect once the function has returned */
    TEST_IN_DLOPEN,   /* TEST_STICK: in the constructor of a library that the function loads */
    TEST_IN_STDIO,    /* TEST_STICK: in the function, which has the locks of stderr and stdout */
    TEST_IN_CALLS,    /* TEST_CANCEL: while the function calls the library, the log above all */
    TEST_AND_CLOSE,   /* TEST_CANCEL: as TEST_LATER, and the function closes its connection */
    TEST_IN_RELOAD    /* TEST_CANCEL: while the function has certificates read again */
};

enum test_cleanup { CLEANUP_COUNTS, CLEANUP_CLOSES, CLEANUP_WRITES, CLEANUP_STICKS, CLEANUP_ENDS_THREAD };

enum test_close_fd {
    CLOSE_FD_ONLY,      /* and answers nothing */
    CLOSE_FD_AND_WRITE, /* and echoes */
    CLOSE_FD_AT_END,    /* closes its connection, and in the end hook the descriptor */
    CLOSE_FD_REPLACE,   /* opens a file in its place; echoes */
    CLOSE_FD_CHECK      /* -> uint32: whether that file is open still; closes it */
};

struct test_reference {
    uint32_t packets; /* of the answer: each a HEAD, and data all 'r' by reference */
    uint32_t len;     /* bytes of data in each */
    uint8_t cleanup;  /* enum test_cleanup */
    uint8_t then_sticks;
} __attribute__((packed));

enum test_death {
    DIE_ABORT,  /* abort() */
    DIE_SEGV,   /* touches a page that may not be touched */
    DIE_BUS,    /* touches a page behind the end of its file */
    DIE_ILL,    /* an instruction that there is not */
    DIE_FPE,    /* raise() */
    DIE_STACK,  /* a recursion without an end */
    DIE_KILL,   /* SIGKILL, as when the kernel has no memory */
    DIE_EXIT_0, /* exit codes */
    DIE_EXIT_2,
    DIE_TWO,      /* two threads at the same moment: SIGSEGV each */
    DIE_SMASHED,  /* abort(), with nonsense where the caller's frame pointer was */
    DIE_ON_LOG,   /* SIGSEGV on the log thread, a moment later; echoes */
    DIE_IN_CHILD, /* SIGSEGV in a process that it forks; echoes if that died of it */
    DIE_ON_MASTER /* SIGSEGV on the master, within a second; echoes */
};

struct test_sched {
    int32_t policy;    /* SCHED_OTHER ... */
    uint8_t unblocked; /* of TERM, INT, HUP: how many may be delivered to this thread */
} __attribute__((packed));

struct test_end {
    uint16_t reason_id;
    int32_t value; /* what the function returns */
} __attribute__((packed));

struct test_reload {
    uint32_t timeout, packet_timeout, output_high; /* as in mario_options */
    uint32_t times;                                /* every other time these, else those of the start */
    char also[36]; /* "section.key=value" as on the command line, instead of all of these, for good; or "" */
} __attribute__((packed));

struct test_who {
    uint32_t cip, worker, ind;
    uint16_t cport, in_buf_len, out_buf_len; /* cip, cport as in CONN */
} __attribute__((packed));

struct test_datagram {
    uint32_t ind;       /* c->ind */
    uint8_t is_nobody;  /* what it has of a connection is as mario_is_datagram() says */
    uint8_t is_refused; /* joining, binding and the like are */
    uint8_t is_away;    /* it was offloaded */
    uint8_t worker;
    char peer[64];
} __attribute__((packed));

/*
 * What TEST_PUSH does: a list of orders, one after the other. ORDER_RUN and those behind it in the enum have a body,
 * the `body` orders that follow: these are done by the function that is handed over, whose connection is then c.
 */
enum test_order_kind {
    ORDER_SEND, /* to the id, uid or group `to`, or to all */
    ORDER_SEND_USER,
    ORDER_SEND_GROUP,
    ORDER_SEND_ALL,
    ORDER_KICK, /* number: the reason_id */
    ORDER_KICK_USER,
    ORDER_JOIN_ID, /* connection `other`; group `to`, the next times those behind it; likewise the next three */
    ORDER_LEAVE_ID,
    ORDER_JOIN, /* c */
    ORDER_LEAVE,
    ORDER_BIND,         /* how: enum mario_bind; number: devices; user `to`, the next times those behind it */
    ORDER_POLICY,       /* how: enum mario_slow; number, limit: messages, bytes */
    ORDER_STOP_MESSAGE, /* a message, or none */
    ORDER_GROUP_COUNT,  /* value: the count */
    ORDER_USER_COUNT,
    ORDER_ID,             /* value: c's */
    ORDER_WRITE,          /* a message to c->bufev */
    ORDER_CLOSE,          /* close_conn(c, number) */
    ORDER_RETURN,         /* the function then returns number, not 0 */
    ORDER_STICK,          /* blocks until TEST_UNSTICK */
    ORDER_END_THREAD,     /* pthread_exit() */
    ORDER_ROUTE_SEQUENCE, /* test.route: group `to` is delivered by it (how: 1), or not */
    ORDER_ROUTE_HOLD,     /* it takes nothing for number ms */
    ORDER_STOP,           /* mario_stop_server() */
    ORDER_HISTORY,        /* mario_history(to, number) */
    ORDER_RESUME,         /* mario_resume(c, to, key, other): epoch, seq */
    ORDER_ASK_USER,       /* mario_cluster_ask_user(to), answered by TEST_ASKED to c, or to nobody */
    ORDER_ASK_GROUP,
    ORDER_ONLINE,    /* value: mario_cluster_online(to) */
    ORDER_COUNT_ALL, /* value: mario_group_count_all(to) */
    ORDER_RUN,       /* mario_run() on connection `to` */
    ORDER_TIMER,     /* mario_timer() of c in number ms; `to`: which of TEST_TIMERS */
    ORDER_EACH,      /* mario_each_conn() */
    ORDER_THREAD,    /* a thread of its own, which ends then */
    ORDER_MASTER,    /* a timer function of the master, within a second */
    ORDER_CONNECTED, /* the connected hook, of each connection from now on */
    ORDER_AT_END,    /* the end hook of c */
    ORDER_AT_BOUND   /* the bound function, of each bind from now on */
};

#define TEST_TIMERS 4

/* The framing `wrapped` of testapp: a packet is a line, for TEST_SILENT; what is sent is the data in brackets, and a
 * line end. What its first character says besides is done for a message to others. */
enum test_wrap {
    WRAP_PLAINLY = 't',
    WRAP_REFUSES = 'R',
    WRAP_WRITES_NOTHING = 'N',
    WRAP_CLOSES = 'C',
    WRAP_CALLS = 'L',       /* what a function of c may do: nothing of it may come about */
    WRAP_STICKS = 'S',      /* until TEST_UNSTICK; the next one does not */
    WRAP_ENDS_THREAD = 'X', /* likewise */
    WRAP_REFERS = 'F'       /* writes memory that has a cleanup */
};

enum test_order_flag {
    ORDER_KEEP = 1,      /* mario_msg_keep() */
    ORDER_RECEIPT = 2,   /* mario_msg_receipt() with the tag `key`, else mario_msg_key() with it */
    ORDER_OWN = 4,       /* `to` (ORDER_JOIN_ID, ORDER_LEAVE_ID: `other`) is c's id */
    ORDER_BUT_ME = 8,    /* `other`, whom it does not reach, is c's id */
    ORDER_PERSISTS = 16, /* as long as it is EAGAIN, again; for ORDER_THREAD */
    ORDER_SAME = 32,     /* `times` the same message */
    ORDER_LOCAL = 64,    /* by its namesake mario_local_*() */
    ORDER_STAMP = 128,   /* a TEST_NUMBERED, with mario_msg_stamp() */
    ORDER_TEXT = 256,    /* a packet TEST_TEXT: the character `how`, "SENDER.NUMBER ", then 'p' up to len */
};

struct test_order {
    uint8_t kind, how;
    uint16_t flags, body;
    uint32_t times; /* once, and so often more */
    uint32_t pause; /* us behind each time */
    uint64_t to, other, key;
    uint32_t len;    /* of the messages' data, at least test_pushed; 0 = none */
    uint32_t sender; /* what stands in them */
    uint32_t number; /* the number of the first one; the next one has the next */
    uint32_t limit;
} __attribute__((packed));

struct test_pushed {
    uint32_t sender, number;
    uint64_t sent_ns; /* CLOCK_MONOTONIC */
} __attribute__((packed));

struct test_numbered {
    struct test_pushed pushed;
    uint64_t seq; /* in the history of its group, or 0 */
} __attribute__((packed));

struct test_asked {
    uint8_t kind; /* of the order */
    uint64_t key, n;
} __attribute__((packed));

struct test_resumed {
    uint64_t group, epoch, first, seq;
    uint32_t messages;
    int32_t gap;
} __attribute__((packed));

struct test_event {
    uint8_t what; /* enum mario_cluster_what */
    uint64_t from_ms, to_ms, uid, tag;
    char node[64];
} __attribute__((packed));

struct test_done {
    int32_t rc, error; /* of the last time that it was not accepted, else 0, 0 */
    uint32_t accepted; /* times */
    uint64_t value;
} __attribute__((packed));

struct test_called {
    uint8_t kind;    /* of the order */
    uint8_t refused; /* ORDER_AT_BOUND: the bind was */
    uint32_t which;  /* ORDER_TIMER: its number; else `sender` of the order */
    int64_t late_us; /* ORDER_TIMER: behind its time */
    uint64_t uid;    /* ORDER_AT_BOUND: as in mario_bound */
    uint32_t connections;
} __attribute__((packed));

struct test_receipt {
    uint64_t tag, targets, sent, dropped;
} __attribute__((packed));

#endif
