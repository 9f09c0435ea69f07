/*
 * job.pml: a packet for an offloaded function, whose client may go before a thread takes it, as a model for spin, checked
 * by exhaustion (mario/offload/queue.c, mario/offload/pool.c).
 *
 * One worker with JOBS jobs, that sends packets of one connection, ends it at any moment, takes back what comes back and
 * goes on with the next connection of that slot; THREADS threads that take and run. The rings between them, and the
 * semaphore, are what ring.pml shows them to be: what was pushed is taken once, in order, and seen whole.
 *
 * A job's state decides whether its packet runs: the worker sets SENT before it pushes; a thread swaps SENT for TAKEN, or
 * the worker, when the connection has ended, SENT for CANCELLED. One of them succeeds. The job itself stays in the ring
 * until a thread has passed it back.
 *
 * Wrong is: a function that runs for a connection whose slot is free or another's, or with a packet that was freed; a job
 * that two have; one that never comes back; a slot that waits although nothing of it runs.
 */
#ifndef JOBS
#define JOBS 2
#endif
#ifndef THREADS
#define THREADS 2
#endif
#ifndef PACKETS
#define PACKETS 3
#endif

#ifdef CANCEL_IN_TWO_STEPS
#define CANCEL_SWAPS
#else
#define CANCEL_SWAPS atomic
#endif
#ifdef TAKE_IN_TWO_STEPS
#define TAKE_SWAPS
#else
#define TAKE_SWAPS atomic
#endif

#define IDLE 0
#define SENT 1
#define TAKEN 2
#define CANCELLED 3

byte state[JOBS];
byte owner[JOBS];    /* the connection's generation */
bool packet[JOBS];   /* its bytes are there */
bool idle[JOBS];     /* the worker may use it */
byte runs[JOBS];     /* threads that run it */
byte generation = 1; /* of the connection in the slot */
bool open = true;
byte held;           /* what keeps its slot: packets that are out and not cancelled */
byte sent, back;
chan jobs = [JOBS] of { byte };
chan done = [JOBS] of { byte };
bool over;

/* The worker: the slot is free for the next one once it has ended and nothing holds it. */
inline free_slot()
{
    if
    :: !open && held == 0 -> generation++; open = true
    :: else
    fi
}

/* The connection has ended: its packets that no thread has taken. */
inline cancel(j)
{
    CANCEL_SWAPS {
        if
        :: !idle[j] && owner[j] == generation && state[j] == SENT ->
            state[j] = CANCELLED;
            packet[j] = false;
            held--;
#ifdef IDLE_AT_ONCE
            idle[j] = true;
#endif
        :: else
        fi
    }
}

proctype worker()
{
    byte j;
    do
    :: sent < PACKETS && open && idle[0] -> j = 0; goto send
    :: JOBS > 1 && sent < PACKETS && open && idle[JOBS - 1] -> j = JOBS - 1; goto send
    :: open && generation < 3 ->
        open = false;
        cancel(0);
        cancel(JOBS - 1);
        free_slot()
    :: nempty(done) ->
        done ? j;
        back++;
        assert(!idle[j]);
        if
        :: state[j] == TAKEN -> held--; packet[j] = false
        :: else -> assert(state[j] == CANCELLED)
        fi;
        state[j] = IDLE;
        idle[j] = true;
        free_slot()
    :: sent == PACKETS && back == sent -> break
    :: false ->
send:
        idle[j] = false;
        owner[j] = generation;
        packet[j] = true;
        held++;
        state[j] = SENT;
        sent++;
        jobs ! j
    od;
    assert(held == 0 && idle[0] && idle[JOBS - 1]);
    over = true
}

proctype thread()
{
    byte j;
    bool mine;
    do
    :: over -> break
    :: nempty(jobs) ->
        atomic {
            if
            :: nempty(jobs) -> jobs ? j
            :: empty(jobs) -> j = 255
            fi
        };
        if
        :: j == 255 -> goto again
        :: else
        fi;
        TAKE_SWAPS {
            mine = state[j] == SENT;
            if
            :: mine -> state[j] = TAKEN
            :: else
            fi
        };
        if
        :: mine ->
            runs[j]++;
            assert(runs[j] == 1);
            assert(packet[j] && owner[j] == generation);
            runs[j]--
        :: else
        fi;
#ifndef SKIPPED_IS_KEPT
        done ! j
#else
        if
        :: mine -> done ! j
        :: else
        fi
#endif
again:  skip
    od
}

init
{
    atomic {
        idle[0] = true;
        idle[JOBS - 1] = true;
        byte n;
        n = 0;
        do
        :: n == THREADS -> break
        :: n < THREADS -> run thread(); n++
        od;
        run worker()
    }
}
