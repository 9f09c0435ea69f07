/*
 * spans.pml: whose a heap of mario/base/spans.c is, and how blocks come back to it, as a model for spin, checked by
 * exhaustion.
 *
 * One heap, THREADS threads, BLOCKS blocks. A thread goes to work TURNS times: it takes the heap if it is nobody's, and else
 * works without one; it takes blocks out of the heap, and leaves. A block that is out may be given back by any thread at any
 * time, by one that has the heap and by one that has not.
 *
 * As in ring.pml spin interleaves whole steps and knows no reordering, so visibility is kept as data: the heap's lists are
 * plain memory, `touched` counts what was done to them, and `wrote` what was done to each block; a thread knows how much of
 * that it may see, and touching it without having seen all is a race. The word `given` is changed by read-modify-writes
 * only, so what it carries stays. A block that changes hands is seen by who gets it, but not the heap.
 *
 * Wrong is: two threads at the heap; a thread that touches it, or a block, without having seen what was done before;
 * and a block that never comes home.
 */
#ifndef THREADS
#define THREADS 2
#endif
#ifndef BLOCKS
#define BLOCKS 2
#endif
#ifndef TURNS
#define TURNS 2
#endif

#define NOBODY 254
#define NONE 255

/* Memory orders as the C code has them; a mutant takes one away. */
#ifdef ENTER_RELAXED
#define ENTER_ACQUIRE 0
#else
#define ENTER_ACQUIRE 1
#endif
#ifdef LEAVE_RELAXED
#define LEAVE_RELEASE 0
#else
#define LEAVE_RELEASE 1
#endif
#ifdef PUSH_RELAXED
#define PUSH_RELEASE 0
#else
#define PUSH_RELEASE 1
#endif
#ifdef DRAIN_RELAXED
#define DRAIN_ACQUIRE 0
#else
#define DRAIN_ACQUIRE 1
#endif

#define RAISE(view, to) if :: (view) < (to) -> view = (to) :: else fi

byte given = NOBODY;         /* NOBODY, NONE, or the block on top */
byte next[BLOCKS];           /* of a block in that list */
bool home[BLOCKS], out[BLOCKS];
byte touched, wrote[BLOCKS];
byte carries, carries_of[BLOCKS]; /* what `given` makes visible: of the heap, of each block */
byte at_heap;                /* threads that touch it now */
byte done;                   /* threads that have ended */

#define SEEN(b) seen[(b)]

/* What a release by this thread adds, what an acquire brings. */
inline carry(yes)
{
    if
    :: yes ->
        RAISE(carries, view);
        i = 0;
        do
        :: i == BLOCKS -> break
        :: i < BLOCKS -> RAISE(carries_of[i], SEEN(i)); i++
        od;
        i = 0
    :: !(yes)
    fi
}

inline learn(yes)
{
    if
    :: yes ->
        RAISE(view, carries);
        i = 0;
        do
        :: i == BLOCKS -> break
        :: i < BLOCKS -> RAISE(SEEN(i), carries_of[i]); i++
        od;
        i = 0
    :: !(yes)
    fi
}

/* The heap's lists, in two steps, so that another may come in between. */
inline touch()
{
    at_heap++;
    assert(at_heap == 1);
    assert(view == touched);
    touched++;
    view = touched;
    at_heap--
}

inline write(b)
{
    atomic { assert(SEEN(b) == wrote[b]); wrote[b]++; SEEN(b) = wrote[b] }
}

inline enter()
{
#ifdef ENTER_IN_TWO_STEPS
    has = given == NOBODY;
    atomic {
#else
    atomic {
        has = given == NOBODY;
#endif
        if
        :: has -> given = NONE; learn(ENTER_ACQUIRE)
        :: else
        fi
    }
}

inline put_back(b)
{
    touch();
    write(b);
    atomic { assert(!home[b]); home[b] = true }
}

inline drain()
{
    atomic { b = given; given = NONE; learn(DRAIN_ACQUIRE) };
    do
    :: b == NONE -> break
    :: b != NONE ->
        assert(SEEN(b) == wrote[b]);
        after = next[b];
        put_back(b);
        b = after
    od
}

inline leave()
{
    do
#ifdef LEAVE_IS_A_STORE
    :: given == NONE -> atomic { given = NOBODY; carry(LEAVE_RELEASE) }; break
#else
    :: atomic { given == NONE -> given = NOBODY; carry(LEAVE_RELEASE) }; break
#endif
    :: given != NONE -> drain()
#ifdef LEAVES_THE_LIST
    :: given != NONE -> break
#endif
    od;
    has = false
}

/* A block that is out, by a thread that has no heap. */
inline give(b)
{
    do
    :: true ->
        is = given;
        if
#ifdef PUSHES_ALWAYS
        :: false -> skip
        :: true ->
            next[b] = (is == NOBODY -> NONE : is);
#else
        :: is == NOBODY ->
            enter();
            if
            :: has -> put_back(b); leave(); break
            :: else
            fi
        :: is != NOBODY ->
            next[b] = is;
#endif
            write(b);
#ifdef PUSH_IN_TWO_STEPS
            if
            :: given == is ->
                skip;
                atomic { given = b; carry(PUSH_RELEASE) };
                break
            :: else
            fi
#else
            atomic {
                if
                :: given == is -> given = b; carry(PUSH_RELEASE); fits = true
                :: else -> fits = false
                fi
            };
            if
            :: fits -> break
            :: else
            fi
#endif
        fi
    od
}

/* One of those that are out, whoever took it. */
inline pick()
{
    atomic {
        mine = NONE;
        if
        :: out[0] -> mine = 0
        :: out[BLOCKS - 1] -> mine = BLOCKS - 1
        :: !out[0] && !out[BLOCKS - 1]
        fi;
        if
        :: mine != NONE -> out[mine] = false; SEEN(mine) = wrote[mine]
        :: else
        fi
    }
}

/* One of the heap's own: it has been seen with the heap. */
inline take()
{
    touch();
    atomic {
        if
        :: home[0] -> mine = 0
        :: home[BLOCKS - 1] -> mine = BLOCKS - 1
        :: !home[0] && !home[BLOCKS - 1] -> mine = NONE
        fi;
        if
        :: mine != NONE -> home[mine] = false
        :: else
        fi
    };
    if
    :: mine != NONE -> write(mine); out[mine] = true
    :: else
    fi;
    mine = NONE
}

proctype thread()
{
    byte view, seen[BLOCKS];
    byte i, b, after, is, mine = NONE, turn;
    bool has, fits;
    do
    :: turn == TURNS -> break
    :: turn < TURNS ->
        turn++;
        enter();
        if
        :: has -> take()
        :: else
        fi;
        pick();
        if
        :: mine != NONE && has -> put_back(mine)
        :: mine != NONE && !has -> give(mine)
        :: mine == NONE
        fi;
        mine = NONE;
        if
        :: has -> leave()
        :: else
        fi
    od;
    pick();
    if
    :: mine != NONE -> give(mine)
    :: else
    fi;
    done++
}

init
{
    byte i;
    atomic {
        do
        :: i == BLOCKS -> break
        :: i < BLOCKS -> home[i] = true; i++
        od;
        i = 0;
        do
        :: i == THREADS -> break
        :: i < THREADS -> run thread(); i++
        od
    };
    done == THREADS;
    /* what is still out nobody has given back; all else is home, and the heap is nobody's */
    assert(given == NOBODY && (home[0] || out[0]) && (home[BLOCKS - 1] || out[BLOCKS - 1]))
}
