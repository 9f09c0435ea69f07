/*
 * port.pml: the way of orders from any thread to a worker (mario/push/port.h) as a model for spin, checked by exhaustion,
 * in three parts of which a flag chooses one. What the ring itself does is in ring.pml: what was pushed is taken once, in
 * order, and seen whole, if its producer is one thread, or several of which each knows what the one before it did.
 *
 * ADOPT: THREADS threads come, take a port or make one, give ORDERS orders and go; the next one takes the port while the
 * worker still reads what is in it. Wrong is: two producers of one ring; one that does not know where its predecessor
 * stopped; an order that the worker never reads, or reads before an earlier one of the same thread.
 *
 * SELF: a worker whose functions order of their own worker: they only hold its bell, and it looks at the end of the pass.
 * It may get stuck in such a function, a successor takes over, and the function goes on ordering. Beside it a foreign
 * thread orders. Wrong is: an order that nobody reads although somebody serves the shard; a bell
 * that is held and nobody comes.
 *
 * GATE: SENDERS threads that order, each with a port that is there or is made on the way, or only visit; the server opens
 * the gate, closes it, waits for who is inside, settles what is left and frees the rings, ROUNDS times. Wrong is: somebody
 * at the rings when they are freed; an order that was accepted and is neither carried out nor settled, or is both.
 *
 * As in ring.pml spin interleaves whole steps, so what C11 says of visibility is kept as data where it matters: what a
 * thread has to see, and what a store carries. In GATE all that matters is whether a store can be seen later than a load
 * behind it in the program; a mutant lets it, or not, as it comes.
 */
#define RAISE(view, to) if :: (view) < (to) -> view = (to) :: else fi

#ifdef ADOPT
/* ---- ADOPT ---- */

#ifndef THREADS
#define THREADS 3
#endif
#ifndef ORDERS
#define ORDERS 2
#endif
#define CAP 2

#ifdef TAKE_RELAXED
#define TAKE_ACQUIRE 0
#else
#define TAKE_ACQUIRE 1
#endif
#ifdef PUT_BACK_RELAXED
#define PUT_BACK_RELEASE 0
#else
#define PUT_BACK_RELEASE 1
#endif

byte made;             /* ports in the list, which only grows; all have one bit */
bool taken[THREADS];
byte carries[THREADS]; /* what a port's `taken` makes visible: the orders before */
byte given[THREADS];   /* a port's: orders in its ring, ever */
byte users[THREADS];   /* threads that are its producer */
byte last[THREADS];    /* a thread's: its latest order that was read */
byte left[THREADS];    /* a port's: orders that nobody has read */
bool bell, edge;
chan ring[THREADS] = [CAP] of { byte, byte };

inline wake()
{
    atomic {
        if
        :: !bell -> edge = true
        :: else
        fi;
        bell = true
    }
}

/* port_take() */
inline take()
{
    p = 0;
    do
    :: p == made -> /* none is free: a new one, at the end of the list */
#ifndef LIST_LATE
        atomic { p = made; made++; taken[p] = true };
#else
        atomic { p = made; taken[p] = true };
#endif
        view = 0;
        break
    :: p < made && taken[p] -> p++
    :: p < made && !taken[p] ->
#ifdef TAKE_IN_TWO_STEPS
        skip;
        atomic {
            if
            :: true ->
#else
        atomic {
            if
            :: !taken[p] ->
#endif
                taken[p] = true;
                view = (TAKE_ACQUIRE -> carries[p] : 0);
                break
            :: else -> p++
            fi
        }
    od
}

/* port_put_back() */
inline put_back()
{
    atomic { taken[p] = false; carries[p] = (PUT_BACK_RELEASE -> view : 0) }
}

proctype thread(byte me)
{
    byte p, view, n;
    take();
    users[p]++;
    assert(users[p] == 1);
    do
    :: n == ORDERS -> break
    :: n < ORDERS ->
        n++;
        if
        :: full(ring[p]) -> goto next /* refused */
        :: nfull(ring[p])
        fi;
#ifdef PUT_BACK_EARLY
        if
        :: n == ORDERS -> users[p]--; put_back()
        :: else
        fi;
#endif
        atomic {
            assert(view == given[p]); /* it knows where the ring ends */
            ring[p] ! me, n;
            given[p]++;
            left[p]++;
            view++
        };
        wake();
next:   skip
    od;
#ifdef LIST_LATE
    if
    :: p == made -> made++
    :: else
    fi;
#endif
#ifndef PUT_BACK_EARLY
    users[p]--;
    put_back()
#endif
}

proctype worker()
{
    byte p, who, n;
end_asleep:
    do
    :: atomic { edge -> edge = false };
        bell = false; /* swapped */
        p = 0;
        do
        :: p == made -> break
        :: p < made && nempty(ring[p]) ->
            atomic {
                ring[p] ? who, n;
                assert(last[who] < n); /* in the order that its thread gave */
                last[who] = n;
                left[p]--
            }
        :: p < made && empty(ring[p]) -> p++
        od
    od
}

proctype end_of_all_things()
{
    byte p;
    timeout;
    for (p : 0 .. THREADS - 1) {
        assert(left[p] == 0)
    }
}

init
{
    byte i;
    atomic {
        for (i : 0 .. THREADS - 1) {
            run thread(i)
        }
        run worker();
        run end_of_all_things()
    }
}
#endif

#ifdef SELF
/* ---- SELF ---- */

#ifndef SEATS
#define SEATS 2
#endif
#ifndef CALLS
#define CALLS 1 /* functions that an executor calls, for packets or for orders */
#endif
#ifndef FOREIGN
#define FOREIGN 1 /* orders of the foreign thread */
#endif
#ifndef SELVES
#define SELVES 2 /* orders of the worker, an executor's */
#endif
#define PORTS (SEATS + 1)

#ifdef HOLD_RELAXED
#define HOLD_ORDERS 0
#else
#define HOLD_ORDERS 1
#endif

#define LIBRARY 0
#define FUNCTION 1
#define TAKEN 2

byte fence[SEATS];
bool knows[SEATS];    /* an executor has to see that its fence is taken */
byte tail[PORTS];     /* orders in a port's ring, ever; port SEATS is the foreign thread's */
byte got[PORTS];      /* read */
byte seen[PORTS];     /* the oldest tail that who serves may still see; goes from one to the next with the fence */
byte word;            /* the doorbell: a bit for each port */
byte word_tail[PORTS];/* what the word carries: tails, */
byte word_taken;      /* and fences that are taken */
bool edge[SEATS];
byte sitting;         /* who serves */

inline edges()
{
    byte e;
    for (e : 0 .. SEATS - 1) {
        edge[e] = true
    }
}

/* A read-modify-write of the word by executor `me`, with what it carries both ways. */
inline word_changed(me)
{
    for (i : 0 .. PORTS - 1) {
        if
        :: i == me -> RAISE(word_tail[i], tail[i])
        :: else
        fi
    }
    i = 0;
    if
    :: word_taken & (1 << me) -> knows[me] = true
    :: else
    fi
}

/* port_commit(), self: commit, hold the bell, look at the fence. */
inline order_self(me)
{
#ifdef LOOK_BEFORE_HOLD
    t = fence[me];
#endif
#ifdef HOLD_BEFORE_COMMIT
    atomic { word = word | (1 << me); word_changed(me) };
    tail[me]++;
#else
    tail[me]++;
    atomic { /* doorbell_hold() */
        word = word | (1 << me);
        if
        :: HOLD_ORDERS -> word_changed(me)
        :: else
        fi
    };
#endif
#ifndef LOOK_BEFORE_HOLD
    atomic { /* its own fence: the newest state if it has to see that, else that or an older one */
        t = fence[me];
        if
        :: t == TAKEN && !knows[me] -> t = FUNCTION
        :: true -> skip
        fi
    };
#endif
#ifdef NEVER_LOOKS
    t = FUNCTION;
#endif
    if
    :: t == TAKEN -> /* doorbell_insist() */
        atomic { word = word | (1 << me); word_changed(me) };
        atomic { edges() }
    :: else
    fi;
    t = 0
}

/* A function: it orders of its own worker, or not; it returns, or is stuck for a while, or for ever. */
inline call(me)
{
    atomic { fence[me] = FUNCTION };
    if
    :: orders > 0 -> orders--; order_self(me)
    :: true
    fi;
    if
    :: me < SEATS - 1 -> /* stuck until it is given up; then perhaps it goes on and orders again */
        (fence[me] == TAKEN);
        if
        :: orders > 0 -> orders--; order_self(me)
        :: true
        fi
    :: true
    fi;
    atomic { /* fence_close() */
        if
        :: fence[me] == FUNCTION -> fence[me] = LIBRARY
        :: else -> alive = false
        fi
    }
}

/* doorbell_answer(), and read the rings of those who have rung; an order may call a function, behind which all may be
 * another's. */
inline answer(me)
{
    atomic {
        who = word;
        word = 0;
        for (i : 0 .. PORTS - 1) {
            RAISE(seen[i], word_tail[i])
        }
        i = 0
    };
    p = 0;
    do
    :: p == PORTS || !alive -> break
    :: p < PORTS && alive && !(who & (1 << p)) -> p++
    :: p < PORTS && alive && (who & (1 << p)) ->
        atomic { /* load the tail */
            t = seen[p];
            do
            :: t < tail[p] -> t++
            :: break
            od;
            seen[p] = t;
            t = 0
        };
        if
        :: got[p] == seen[p] -> p++
        :: else ->
            got[p]++;
            if
            :: calls > 0 -> calls--; call(me)
            :: true
            fi
        fi
    od;
    p = 0;
    who = 0
}

proctype executor(byte me)
{
    byte who, p, t, i, calls = CALLS, orders = SELVES;
    bool alive = true;
    if
    :: me > 0 -> /* a successor: its predecessor's function looks stuck, or only is slow */
#ifdef BELL_BEFORE_FENCE
        (fence[me - 1] == FUNCTION);
        answer(me);
#endif
end_unneeded:
        atomic { /* fence_take() */
            fence[me - 1] == FUNCTION;
            fence[me - 1] = TAKEN;
            sitting = me
        };
#ifndef RINGS_NOTHING
        atomic { /* what the other one had answered and not yet done */
            word = (1 << PORTS) - 1;
            word_taken = word_taken | (1 << (me - 1));
            word_changed(me)
        };
#ifndef HOLDS_ONLY
        atomic { edges() };
#endif
#endif
    :: else
    fi;
end_asleep:
    do
    :: !alive -> break
    :: atomic { alive && edge[me] -> edge[me] = false };
        answer(me);
        goto pass
    :: alive && calls > 0 -> calls = 0 /* no more packets come */
    :: alive && calls > 0 -> /* a packet comes */
        calls--;
        call(me);
pass:
#ifndef SLEEPS_AT_ONCE
        do
        :: alive && word != 0 -> answer(me)
        :: !alive || word == 0 -> break
        od
#else
        skip
#endif
    od
}

proctype foreign()
{
    byte n, old, i;
    do
    :: n == FOREIGN -> break
    :: n < FOREIGN ->
        n++;
        tail[SEATS]++;
        atomic {
            old = word;
            word = word | (1 << SEATS);
            RAISE(word_tail[SEATS], tail[SEATS])
        };
        if
        :: old == 0 -> atomic { edges() }
        :: else
        fi
    od
}

proctype end_of_all_things()
{
    byte p;
    timeout;
    if
    :: fence[sitting] == LIBRARY -> /* somebody serves */
        for (p : 0 .. PORTS - 1) {
            assert(tail[p] == got[p])
        }
        assert(word == 0)
    :: else
    fi
}

init
{
    byte i;
    atomic {
        for (i : 0 .. SEATS - 1) {
            run executor(i)
        }
        run foreign();
        run end_of_all_things()
    }
}
#endif

#ifdef GATE
/* ---- GATE ---- */

#ifndef SENDERS
#define SENDERS 2
#endif
#ifndef ORDERS
#define ORDERS 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif

bool open;             /* the gate */
bool rings;            /* there are rings */
bool listed[SENDERS];  /* a sender's port is in the list */
bool inside[SENDERS];
byte visitors;
byte queued[SENDERS];  /* orders in its ring */
byte accepted, settled;
byte over;             /* senders that have ended */

/* port_enter(): say that we are inside, then look at the gate. */
inline enter(me)
{
#ifdef LIST_RELAXED
    if /* the list's change may be seen later than the look at the gate */
    :: true -> listed[me] = true
    :: true
    fi;
#else
    listed[me] = true;
#endif
#ifdef INSIDE_RELAXED
    if
    :: true -> inside[me] = true; is_open = open
    :: true -> is_open = open; inside[me] = true
    fi;
#else
    inside[me] = true;
    is_open = open;
#endif
    listed[me] = true
}

proctype sender(byte me)
{
    byte n;
    bool is_open;
    do
    :: n == ORDERS -> break
    :: n < ORDERS ->
        n++;
        if
        :: !open -> skip /* refused at once: no port is made */
        :: true -> /* an order */
            enter(me);
            if
            :: is_open ->
#ifdef LEAVE_EARLY
                inside[me] = false;
#endif
                atomic { assert(rings); queued[me]++; accepted++ }
            :: else
            fi;
            inside[me] = false
        :: true -> /* port_visit() */
#ifdef VISIT_IN_THE_END
            is_open = open;
            atomic { visitors++ };
#else
            atomic { visitors++ };
            is_open = open;
#endif
            if
            :: is_open -> assert(rings)
            :: else
            fi;
            atomic { visitors-- }
        fi
    od;
    over++
}

/* The worker of a round carries out what it finds, until it is told to stop. */
inline carry_out()
{
    do
    :: i = 0;
        do
        :: i == SENDERS -> break
        :: i < SENDERS && queued[i] > 0 -> atomic { queued[i]--; settled++ }
        :: i < SENDERS -> i++
        od
    :: break
    od
}

/* port_close() */
inline close_gate()
{
#ifdef CLOSE_RELAXED
    if
    :: true -> open = false
    :: true /* it is seen later */
    fi;
#endif
#if !defined(CLOSE_RELAXED) && !defined(LIST_FIRST)
    open = false;
#endif
    i = 0;
    do
    :: i == SENDERS -> break
    :: i < SENDERS && listed[i] ->
#ifdef LIST_FIRST
        open = false;
#endif
#ifndef NO_WAIT
        (!inside[i]);
#endif
        i++
    :: i < SENDERS && !listed[i] -> i++
    od;
    (visitors == 0);
    open = false
}

proctype server()
{
    byte n, i;
    do
    :: n == ROUNDS -> break
    :: n < ROUNDS ->
        n++;
        rings = true;
        open = true;
        carry_out();
        close_gate();
        i = 0;
        do /* port_clear() */
        :: i == SENDERS -> break
        :: i < SENDERS && queued[i] > 0 -> atomic { queued[i]--; settled++ }
        :: i < SENDERS && queued[i] == 0 -> i++
        od;
        rings = false
    od;
    (over == SENDERS);
    assert(accepted == settled)
}

init
{
    byte i;
    atomic {
        for (i : 0 .. SENDERS - 1) {
            run sender(i)
        }
        run server()
    }
}
#endif
