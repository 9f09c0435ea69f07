/*
 * fence.pml: the fence by which a successor takes a shard over (mario/exec/executor.h) as a model for spin, checked by exhaustion.
 *
 * One worker that serves the shard and calls functions, which return, or never do, or end their thread; a master that
 * looks at it and sends a successor when a function is still the one it saw before; the successor, which takes over or
 * finds the worker alive, and then is a worker itself, so that it can be succeeded in turn. SEATS threads in all.
 *
 * As in ring.pml spin interleaves whole steps and knows no reordering, so visibility is kept as data: the shard is plain
 * memory, `touched` counts what was done to it, each thread knows how much of that it may see, and touching it
 * without having seen all is a race. The fence carries the view of who stored it with release.
 *
 * Of each of the CONNS connections `owner` stands for its public part: the executor whose function may use it. A successor
 * moves what its predecessor has, but not the connection whose function that one runs, nor those that an executor before
 * it got stuck with.
 *
 * Wrong is: two threads that may touch the shard; a thread that touches it without having seen what the other one did;
 * a function declared stuck that is not the one that was seen; a shard that nobody serves although its thread died;
 * and a connection that is moved while a function uses it.
 */
#ifndef SEATS
#define SEATS 3
#endif
#ifndef TURNS
#define TURNS 2
#endif
#ifndef CONNS
#define CONNS 2
#endif
#define NOBODY 255

#define LIBRARY 0
#define FUNCTION 1
#define TAKEN 2
#define DIED 3

#ifdef ENTER_RELAXED
#define ENTER_RELEASE 0
#else
#define ENTER_RELEASE 1
#endif
#ifdef TAKE_RELAXED
#define TAKE_ACQUIRE 0
#else
#define TAKE_ACQUIRE 1
#endif

#ifdef NO_TURNS
#define FENCE(turn, state) (state)
#else
#define FENCE(turn, state) ((turn) * 4 + (state))
#endif
#define STATE(fence) ((fence) % 4)

byte fence[SEATS];   /* of each executor */
byte carried[SEATS]; /* how much of the shard's history its fence makes visible */
byte call[SEATS];    /* the activity: which call this is; 0 = none runs */
bool sent[SEATS];    /* the thread was started */
byte seen_fence[SEATS], seen_call[SEATS]; /* what the master told the successor: about its predecessor */
bool late[SEATS];    /* it found its predecessor alive */
bool in_function[SEATS];
byte owner[CONNS];   /* the executor whose function may use it */
byte runs[SEATS];    /* the connection whose function it runs, or NOBODY; its own, read by a successor */
byte touched;        /* what was done to the shard */
byte touching;       /* threads that do so now */
byte sitting;        /* the executor that serves, as the master knows it */

/* Do something to the shard. */
inline touch()
{
    touching++;
    assert(touching == 1);  /* nobody else */
    assert(view == touched); /* everything is visible */
    touched++;
    view = touched;
    touching--
}

/* Whether a successor of `predecessor` moves connection i. */
#ifdef MOVE_ALL
#define MOVES(i) (i != runs[predecessor])
#else
#define MOVES(i) (i != runs[predecessor] && owner[i] == predecessor)
#endif

/* The shard was taken: all that is the predecessor's is ours, but not what its function uses. */
inline move()
{
    atomic {
        i = 0;
        do
        :: i == CONNS -> break
        :: i < CONNS ->
            if
            :: MOVES(i) -> owner[i] = me
            :: else
            fi;
            i++
        od;
        i = 0
    }
}

/* A connection of which a packet is there. Those that a former executor is stuck with are read no more. */
inline choose()
{
    atomic {
        if
        :: owner[0] == me -> runs[me] = 0
        :: CONNS > 1 && owner[CONNS - 1] == me -> runs[me] = CONNS - 1
        :: owner[0] != me && owner[CONNS - 1] != me -> runs[me] = NOBODY /* all are stranded */
        fi
    }
}

/* The fence opens: user code. */
inline enter()
{
    turn++;
    atomic {
        fence[me] = FENCE(turn, FUNCTION);
        if
        :: ENTER_RELEASE -> carried[me] = view
        :: else
        fi
    }
}

proctype executor(byte me; byte predecessor)
{
    byte turn = 0, view = 0, calls = 0, i = 0;
    bool alive = true;

    if
    :: me > 0 ->
        atomic { /* seat_take(): compare and swap */
            if
#ifdef TAKE_IS_A_STORE
            :: true ->
#else
            :: fence[predecessor] == seen_fence[me] ->
#endif
                assert(STATE(seen_fence[me]) == DIED || (in_function[predecessor] && call[predecessor] == seen_call[me])
                       || STATE(fence[predecessor]) == TAKEN); /* the one that was seen */
                fence[predecessor] = seen_fence[me] - STATE(seen_fence[me]) + TAKEN;
                if
                :: TAKE_ACQUIRE -> view = carried[predecessor]
                :: else
                fi
            :: else -> late[me] = true; alive = false
            fi
        };
        if
        :: alive -> touch(); move(); sitting = me
        :: else
        fi
    :: else
    fi;

    do
    :: !alive -> break
    :: alive && calls == TURNS -> break
    :: alive && calls < TURNS ->
        calls++;
        choose();
        if
        :: runs[me] == NOBODY -> break
        :: else
        fi;
#ifdef ENTER_TOO_EARLY
        enter();
        touch();
#else
        touch();
        enter();
#endif
        atomic { in_function[me] = true; call[me] = me * 10 + calls };
        if
        :: true -> skip                                          /* it returns */
        :: me < SEATS - 1 -> /* it returns only when it has been given up, so perhaps never */
end_stuck:  (STATE(fence[me]) == TAKEN)
        :: me < SEATS - 1 ->                                     /* it ends its thread */
            atomic {
                if
                :: STATE(fence[me]) != TAKEN -> fence[me] = FENCE(turn, DIED); carried[me] = view
                :: else
                fi
            };
            in_function[me] = false;
            alive = false;
            break
        fi;
        assert(owner[runs[me]] == me); /* nobody has moved what the function uses */
        atomic { /* seat_leave(): compare and swap */
            in_function[me] = false;
            if
#ifdef LEAVE_IS_A_STORE
            :: true -> fence[me] = FENCE(turn, LIBRARY)
#else
            :: fence[me] == FENCE(turn, FUNCTION) -> fence[me] = FENCE(turn, LIBRARY)
#endif
            :: else -> alive = false
            fi
        };
        if
        :: alive -> call[me] = 0; runs[me] = NOBODY; touch()
        :: else /* it vanishes */
        fi
    od
}

proctype master()
{
    byte next = 1, f, c;
    do
    :: next == SEATS -> break
    :: next < SEATS ->
        c = call[sitting];
        /* time passes; it looks again, at the fence first */
        f = fence[sitting];
        if
        :: STATE(f) == FUNCTION && c != 0 && call[sitting] == c ->
            seen_fence[next] = f; seen_call[next] = c; sent[next] = true;
            run executor(next, sitting);
            (late[next] || sitting == next); /* one at a time */
            next++
        :: STATE(f) == DIED ->
            seen_fence[next] = f; seen_call[next] = 0; sent[next] = true;
            run executor(next, sitting);
            (late[next] || sitting == next);
            assert(sitting == next); /* the dead do not come back */
            next++
        :: else /* all is well: it looks again */
        fi
    :: true -> break /* the server ends */
    od
}

init
{
    atomic {
        sitting = 0;
        runs[0] = NOBODY;
#if SEATS > 1
        runs[1] = NOBODY;
#endif
#if SEATS > 2
        runs[2] = NOBODY;
#endif
#if SEATS > 3
        runs[3] = NOBODY;
#endif
        run executor(0, 0);
        run master()
    }
}
